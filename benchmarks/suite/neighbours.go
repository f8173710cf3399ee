package suite

import (
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// Neighbour is a load that another process puts on the same broker while a workload is measured.
type Neighbour struct {
	Summary string
	Flags   []string // of 'millrace bench'; without an end, for it is interrupted
}

// forEver is longer than any measurement.
const forEver = "1h"

// Neighbours measures one workload alone, and then beside each kind of bad neighbour.
func Neighbours() Suite {
	s := Suite{Name: "neighbours", Summary: "a paced workload alone, and beside slow consumers, clients that stop reading, and floods"}
	add := func(place, summary string, flags ...string) {
		w := load.Base()
		w.Name, w.Summary = "beside-"+place, summary
		w.Persistent, w.Window, w.Rate, w.AckEvery = true, 10_000, 2000, 1
		w.Messages, w.WarmUp = 10_000, 2*time.Second
		c := Case{Workload: w, Axis: axisNeighbours, Place: place}
		if len(flags) > 0 {
			c.Beside = &Neighbour{Summary: summary, Flags: append(flags, "--duration", forEver)}
		}
		s.Cases = append(s.Cases, c)
	}
	add("nobody", "alone")
	add("slow", "a queue gets 2,000 messages of 4 KiB a second, and its two consumers take 200",
		"--size", "4096", "--rate", "2000", "--consumers", "2", "--consumer-rate", "200", "--prefetch", "100", "--ack-every", "10")
	add("deaf", "four consumers without a prefetch limit stop reading; their queues get 400 transient messages of 64 KiB a second",
		"--size", "65536", "--rate", "400", "--producers", "4", "--queues", "4", "--consumers", "4", "--prefetch", "0", "--stop-reading")
	add("flood", "four connections publish transient messages of 1 KiB as fast as they can; nobody reads their queues",
		"--producers", "4", "--queues", "4", "--backlog")
	add("flood-persistent", "the same with persistent messages, and no confirms either",
		"--producers", "4", "--queues", "4", "--backlog", "--persistent")
	return s
}
