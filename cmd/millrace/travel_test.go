package main_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// bodiesAt is what a queue held after a record, 0 for the end of the log, and the last record reckoned with.
func bodiesAt(t *testing.T, dir, queue string, at uint64) (bodies []string, lsn uint64) {
	t.Helper()
	args := []string{"queue", queue, "--limit", "0", "--json"}
	if at > 0 {
		args = append(args, "--at", strconv.FormatUint(at, 10))
	}
	lines := look(t, dir, args...)
	if len(lines) == 0 {
		t.Fatal("log queue told nothing")
	}
	for _, line := range lines[1:] {
		bodies = append(bodies, lookLine(t, line).Body)
	}
	return bodies, lookLine(t, lines[0]).LSN
}

// After random work log queue --at still tells what the queue held at each moment, and it did so when the moment was now.
func TestLogQueueTellsWhatWasHeldAtAnyMoment(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	chance := rand.New(rand.NewPCG(1, 2))
	b := startBroker(t, t.TempDir(), "--segment-size", "64KiB")
	c := b.connect(t)
	q := c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	type moment struct {
		lsn  uint64
		held []string
	}
	var moments []moment
	var held []string // the model
	n := 0
	for range 12 {
		for range 1 + chance.IntN(8) {
			switch work := chance.IntN(10); {
			case work < 6:
				n++
				body := lookBody(int64(n))
				c.sendConfirmed("", q, persistent(body))
				held = append(held, body)
			case work < 9 && len(held) > 0:
				d := c.fetch(q)
				if chance.IntN(3) == 0 {
					c.must(d.Nack(false, true))
				} else {
					c.must(d.Ack(false))
					held = held[1:]
				}
			case chance.IntN(3) == 0:
				_, err := c.QueuePurge(q, false)
				c.must(err)
				held = nil
			}
		}
		m := moment{held: slices.Clone(held)}
		eventually(t, fmt.Sprintf("%d messages in the log's view of the queue", len(held)), func() bool {
			var got []string
			got, m.lsn = bodiesAt(t, b.Dir, q, 0)
			return slices.Equal(got, held)
		})
		moments = append(moments, m)
	}
	for _, m := range moments {
		if got, _ := bodiesAt(t, b.Dir, q, m.lsn); !slices.Equal(got, m.held) {
			t.Errorf("after record %d it held %.80q, want %.80q", m.lsn, got, m.held)
		}
	}
}
