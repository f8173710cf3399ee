package load

import (
	"slices"
	"strings"
)

// Base is what a workload is when nothing is said of it: transient messages of 1 KiB from one producer to
// one consumer, acknowledged.
func Base() Workload {
	return Workload{
		Name: "custom", Summary: "as the flags say", Exchange: ExchangeDefault,
		Producers: 1, Consumers: 1, Queues: 1, Bindings: 1, Prefetch: 1000, AckEvery: 100, Size: Bytes(1 << 10),
	}
}

// Catalogue returns the named workloads.
func Catalogue() []Workload {
	define := func(id, name, summary string, change func(*Workload)) Workload {
		w := Base()
		w.ID, w.Name, w.Summary = id, name, summary
		change(&w)
		return w
	}
	return []Workload{
		define("W1", "transient-16", "transient 16 B, no acknowledgements", func(w *Workload) {
			w.Messages, w.Size, w.AutoAck = 3_000_000, Bytes(16), true
		}),
		define("W2", "transient-1k", "transient 1 KiB, each hundred acknowledged", func(w *Workload) {
			w.Messages = 1_000_000
		}),
		define("W3", "confirm-1k", "persistent 1 KiB, confirmed, window 1,000", func(w *Workload) {
			w.Messages, w.Persistent, w.Window = 1_000_000, true, 1000
		}),
		define("W4/W5", "backlog-1k", "persistent 1 KiB, confirmed: all published, then all consumed", func(w *Workload) {
			w.Messages, w.Persistent, w.Window, w.Mode = 1_000_000, true, 1000, ModeBacklog
		}),
		define("W6", "fanout-10", "transient 1 KiB to ten queues, by delivery", func(w *Workload) {
			w.Messages, w.PerDelivery = 100_000, true
			w.Exchange, w.Queues, w.Consumers = ExchangeFanout, 10, 10
		}),
		define("W7", "topic-1000", "transient 100 B, 1,000 wildcard bindings", func(w *Workload) {
			w.Messages, w.Size = 1_000_000, Bytes(100)
			w.Exchange, w.Bindings, w.Queues, w.Consumers = ExchangeTopic, 1000, 10, 10
		}),
		define("W8", "confirm-64k", "persistent 64 KiB, confirmed, window 100", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 30_000, Bytes(64<<10), true, 100
		}),
		define("W9", "paced-1k", "persistent 1 KiB, confirmed, 5,000 a second", func(w *Workload) {
			w.Messages, w.Persistent, w.Window, w.Rate, w.AckEvery = 50_000, true, 10_000, 5_000, 1
		}),
		define("W10", "many-20", "persistent 256 B, 20 producers, 20 queues", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 1_000_000, Bytes(256), true, 200
			w.Producers, w.Queues, w.Consumers = 20, 20, 20
		}),
		define("W11", "declare-10k", "10,000 durable queues declared", func(w *Workload) {
			w.Mode, w.Queues = ModeDeclare, 10_000
		}),
		define("W12", "connections-1000", "1,000 connections, 10 messages a second on each", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window, w.Rate, w.AckEvery = 100_000, Bytes(256), true, 100, 10_000, 1
			w.Producers, w.Queues, w.Consumers, w.Connections = 1000, 1000, 1000, 1000
		}),
	}
}

// Find returns the workload of that name or id. Each of two ids finds one that has both.
func Find(name string) (Workload, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(w Workload) bool {
		return w.Name == name || slices.Contains(strings.Split(w.ID, "/"), strings.ToUpper(name))
	})
	if i < 0 {
		return Workload{}, false
	}
	return all[i], true
}

// Scale multiplies what a workload sends, or declares; at least some is left.
func (w *Workload) Scale(factor float64) {
	atLeast := func(n, least int) int {
		if n == 0 {
			return 0
		}
		return max(int(float64(n)*factor), min(n, least))
	}
	w.Messages = atLeast(w.Messages, max(100, w.Producers))
	w.Prefill = atLeast(w.Prefill, 100)
	if w.Mode == ModeDeclare {
		w.Queues = atLeast(w.Queues, 10)
	}
}
