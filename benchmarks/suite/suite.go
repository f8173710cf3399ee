package suite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// Suite is a list of cases that brokers are compared by.
type Suite struct {
	Name, Summary string
	Cases         []Case
}

// Case is one workload, and its place on an axis if the suite varies something.
type Case struct {
	Workload load.Workload
	Axis     string     // what is varied; "" is nothing
	Place    string     // its value here
	CPUs     int        // GOMAXPROCS of a broker that is started here; 0 leaves it alone
	Beside   *Neighbour // on the same broker meanwhile; nil is nobody
}

// All returns the suites.
func All() []Suite { return []Suite{Compare(), Scaling(), Neighbours()} }

// Find returns the suite of that name.
func Find(name string) (Suite, error) {
	all := All()
	i := slices.IndexFunc(all, func(s Suite) bool { return s.Name == name })
	if i < 0 {
		return Suite{}, fmt.Errorf("unknown suite %q; 'millrace bench list' lists them", name)
	}
	return all[i], nil
}

// Compare is the catalogue of workloads, as it is.
func Compare() Suite {
	s := Suite{Name: "compare", Summary: "every named workload: rate, CPU time, latency and memory"}
	for _, w := range load.Catalogue() {
		s.Cases = append(s.Cases, Case{Workload: w})
	}
	return s
}

// Scaling varies one thing at a time: processors, connections, sizes, bindings, idle queues, backlog.
func Scaling() Suite {
	s := Suite{Name: "scaling", Summary: "how cost grows with CPUs, connections, body size, bindings, idle queues and backlog"}
	add := func(axis string, place int, change func(*load.Workload)) {
		w := load.Base()
		w.Persistent, w.Window, w.Messages = true, 1000, 300_000
		change(&w)
		w.Name = strings.ReplaceAll(axis, " ", "-") + "-" + strconv.Itoa(place)
		w.Summary = fmt.Sprintf("%s: %s", axis, count(place))
		s.Cases = append(s.Cases, Case{Workload: w, Axis: axis, Place: placeName(axis, place)})
	}
	for _, cpus := range []int{1, 2} {
		add(axisCPUs, cpus, func(*load.Workload) {})
		s.Cases[len(s.Cases)-1].CPUs = cpus
	}
	for _, n := range []int{1, 10, 100, 1000} {
		add(axisConnections, n, func(w *load.Workload) {
			w.Producers, w.Consumers, w.Queues, w.Size, w.Window = n, n, n, load.Bytes(256), max(1000/n, 10)
			w.AckEvery = 10
		})
	}
	for _, size := range []int{16, 256, 4 << 10, 64 << 10, 1 << 20} {
		add(axisSize, size, func(w *load.Workload) {
			w.Size, w.Messages = load.Bytes(size), min(300_000, 2<<30/size)
			w.Window, w.AckEvery = min(1000, max(4<<20/size, 4)), min(100, max(4<<20/size, 1))
		})
	}
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		add(axisBindings, n, func(w *load.Workload) {
			w.Exchange, w.Bindings, w.Size, w.Persistent, w.Window = load.ExchangeTopic, n, load.Bytes(100), false, 0
		})
	}
	for _, kind := range []load.ExchangeKind{load.ExchangeTopic, load.ExchangeDirect, load.ExchangeHeaders} {
		for _, n := range []int{0, 100, 1000, 10_000} {
			add(string(kind)+axisUnmatched, n, func(w *load.Workload) {
				w.Exchange, w.IdleBindings, w.Size, w.Persistent, w.Window = kind, n, load.Bytes(100), false, 0
			})
		}
	}
	for _, n := range []int{0, 100, 1000, 10_000} {
		add(axisIdle, n, func(w *load.Workload) { w.IdleQueues = n })
	}
	for _, n := range []int{0, 10_000, 100_000, 1_000_000, 10_000_000} {
		add(axisBacklog, n, func(w *load.Workload) { w.Prefill, w.Size = n, load.Bytes(16) })
	}
	return s
}

// The axes.
const (
	axisCPUs        = "CPUs of the broker"
	axisConnections = "connections on each side"
	axisSize        = "bytes of a body"
	axisBindings    = "bindings"
	axisUnmatched   = " bindings that do not match" // behind the exchange's type
	axisIdle        = "idle queues"
	axisBacklog     = "messages of backlog"
)

func placeName(axis string, place int) string {
	switch {
	case axis == axisSize && place >= 1<<20:
		return strconv.Itoa(place>>20) + " MiB"
	case axis == axisSize && place >= 1<<10:
		return strconv.Itoa(place>>10) + " KiB"
	}
	return count(place)
}

// scale shortens the cases, and leaves only those whose workload is named, if any is.
func (s *Suite) scale(factor float64, only []string) error {
	for _, name := range only {
		if !slices.ContainsFunc(s.Cases, func(c Case) bool { return c.named(name) }) {
			return fmt.Errorf("the suite %s has no workload %q", s.Name, name)
		}
	}
	if len(only) > 0 {
		s.Cases = slices.DeleteFunc(s.Cases, func(c Case) bool {
			return !slices.ContainsFunc(only, c.named)
		})
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		c.Workload.Scale(factor)
		if c.Axis == axisBacklog {
			c.Place = count(c.Workload.Prefill)
		}
	}
	return nil
}

// named says whether a name, id or axis means the case.
func (c Case) named(name string) bool {
	return name == c.Workload.Name || name == c.Axis && name != "" ||
		slices.Contains(strings.Split(c.Workload.ID, "/"), strings.ToUpper(name))
}
