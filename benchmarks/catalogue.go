package benchmarks

import "slices"

// Catalogue returns the named workloads.
func Catalogue() []Workload {
	base := Workload{Producers: 1, Consumers: 1, Queues: 1, Prefetch: 1000, AckEvery: 100}
	define := func(name, summary string, change func(*Workload)) Workload {
		w := base
		w.Name, w.Summary = name, summary
		change(&w)
		return w
	}
	return []Workload{
		define("transient-16", "transient 16 B, no acknowledgements", func(w *Workload) {
			w.Messages, w.Size, w.AutoAck = 3_000_000, 16, true
		}),
		define("transient-1k", "transient 1 KiB, acknowledged", func(w *Workload) {
			w.Messages, w.Size = 1_000_000, 1<<10
		}),
		define("confirm-1k", "persistent 1 KiB, confirmed", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 1_000_000, 1<<10, true, 1000
		}),
		define("backlog-1k", "persistent 1 KiB, confirmed; consumed when all is published", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window, w.Backlog = 1_000_000, 1<<10, true, 1000, true
		}),
		define("fanout-10", "persistent 1 KiB to ten queues, confirmed", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 100_000, 1<<10, true, 1000
			w.Exchange, w.Queues, w.Consumers = ExchangeFanout, 10, 10
		}),
		define("confirm-64k", "persistent 64 KiB, confirmed", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 30_000, 64<<10, true, 100
		}),
		define("many-20", "persistent 256 B by 20 producers to 20 queues, confirmed", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 1_000_000, 256, true, 200
			w.Producers, w.Queues, w.Consumers = 20, 20, 20
		}),
		define("topic-1000", "persistent 100 B through 1,000 wildcard bindings to ten queues, confirmed", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window = 1_000_000, 100, true, 1000
			w.Exchange, w.Bindings, w.Queues, w.Consumers = ExchangeTopic, 1000, 10, 10
		}),
		define("paced-1k", "persistent 1 KiB, confirmed, 5,000 a second: latency", func(w *Workload) {
			w.Messages, w.Size, w.Persistent, w.Window, w.Rate = 50_000, 1<<10, true, 10_000, 5_000
			w.AckEvery = 10
		}),
	}
}

// findWorkload returns the workload of that name.
func findWorkload(name string) (Workload, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
	if i < 0 {
		return Workload{}, false
	}
	return all[i], true
}
