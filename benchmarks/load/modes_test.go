package load

import (
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// TestWorkloadsOfAllKinds runs what the catalogue has not.
func TestWorkloadsOfAllKinds(t *testing.T) {
	address := startServer(t, smallSegment)
	tests := []struct {
		name   string
		change func(*Workload)
	}{
		{"direct", func(w *Workload) { w.Exchange, w.Bindings, w.Queues, w.Consumers = ExchangeDirect, 7, 3, 3 }},
		{"headers", func(w *Workload) { w.Exchange, w.Bindings, w.Queues, w.Consumers = ExchangeHeaders, 7, 3, 3 }},
		{"keys of the user's", func(w *Workload) {
			w.Exchange, w.BindingKeys, w.RoutingKeys = ExchangeTopic, []string{"a.#", "b.*"}, []string{"a.x", "b.y", "a.y.z", "c"}
			w.Queues, w.Consumers = 2, 2
		}},
		{"sizes", func(w *Workload) { w.Size = Sizes{[]sizePart{{16, 200, 10}, {300_000, 300_000, 1}}} }},
		{"tiny sizes", func(w *Workload) { w.Size = Sizes{[]sizePart{{0, 10, 1}}} }},
		{"shared queue", func(w *Workload) { w.Consumers, w.Producers = 3, 2 }},
		{"channels", func(w *Workload) { w.Producers, w.Consumers, w.Queues, w.Connections, w.Window = 6, 6, 6, 2, 10 }},
		{"more connections than channels", func(w *Workload) { w.Connections = 9 }},
		{"quorum", func(w *Workload) { w.Arguments, w.Persistent = amqp.Table{"x-queue-type": "quorum"}, true }},
		{"latency without a rate", func(w *Workload) { w.Latency, w.Window = true, 20 }},
		{"rate of many", func(w *Workload) {
			w.Rate, w.Producers, w.Consumers, w.Queues, w.Window = 5000, 20, 20, 20, 30
		}},
		{"no acknowledgements", func(w *Workload) { w.AutoAck = true }},
		{"prefilled", func(w *Workload) { w.Prefill, w.Window, w.Prefetch, w.AckEvery = 3000, 50, 100, 10 }},
		{"idle topic bindings", func(w *Workload) { w.Exchange, w.IdleBindings = ExchangeTopic, 50 }},
		{"idle direct bindings", func(w *Workload) { w.Exchange, w.IdleBindings = ExchangeDirect, 50 }},
		{"idle headers bindings", func(w *Workload) { w.Exchange, w.IdleBindings = ExchangeHeaders, 50 }},
		{"idle queues", func(w *Workload) { w.IdleQueues = 70 }},
		{"each acknowledged", func(w *Workload) { w.AckEvery, w.Prefetch = 1, 1 }},
		{"no limit", func(w *Workload) { w.Prefetch = 0 }},
		{"own name", func(w *Workload) { w.QueueName, w.Queues, w.Consumers = "mine", 2, 2 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := Base()
			w.Name, w.Messages = "kinds", 400
			test.change(&w)
			m := Measurement{Workload: w, Address: address}
			results, err := m.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if w.Prefill > 0 { // what was there before is delivered in its time: consumers keep in step
				if r := results[0]; r.Failed() || r.Published != 400 || r.Delivered < 400 || r.Delivered > 1000 {
					t.Errorf("%+v", r)
				}
				return
			}
			wantComplete(t, &m, results)
		})
	}
}

func TestTimeLimitsAndWarmUps(t *testing.T) {
	address := startServer(t, smallSegment)
	for _, test := range []struct {
		name      string
		change    func(*Workload)
		published uint64 // 0: some
	}{
		{"time", func(w *Workload) { w.Duration = 200 * time.Millisecond }, 0},
		{"time and confirms", func(w *Workload) { w.Duration, w.Window = 200*time.Millisecond, 10 }, 0},
		{"time at a rate", func(w *Workload) { w.Duration, w.Rate = 200*time.Millisecond, 1000 }, 200},
		{"time at a rate of many", func(w *Workload) {
			w.Duration, w.Rate, w.Producers, w.Consumers, w.Queues = 200*time.Millisecond, 1000, 10, 10, 10
		}, 200},
		{"warm-up and a number", func(w *Workload) { w.WarmUp, w.Messages = 100*time.Millisecond, 2000 }, 0},
		{"warm-up and time", func(w *Workload) { w.WarmUp, w.Duration, w.Window = 100*time.Millisecond, 100*time.Millisecond, 50 }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := Base()
			w.Name = "limits"
			test.change(&w)
			var ticks []Tick
			m := Measurement{Workload: w, Address: address, Ticks: func(t Tick) { ticks = append(ticks, t) }}
			results, err := m.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r := results[0]
			if r.Failed() || r.Published == 0 || test.published > 0 && r.Published != test.published {
				t.Errorf("%+v", r)
			}
			if w.WarmUp > 0 && r.Published >= m.published.sent[0] {
				t.Errorf("%d of %d were measured", r.Published, m.published.sent[0])
			}
			if least := w.Duration * 9 / 10; r.Elapsed < least {
				t.Errorf("over after %v", r.Elapsed)
			}
			var sent uint64
			for _, tick := range ticks {
				sent += tick.Sent
			}
			if sent < r.Published {
				t.Errorf("%d sent by the ticks, %d published", sent, r.Published)
			}
		})
	}
}

// TestWhatIsPublishedAloneIsConsumedAlone: two runs with nothing in common but the queue.
func TestWhatIsPublishedAloneIsConsumedAlone(t *testing.T) {
	address := startServer(t, smallSegment)
	w := Base()
	w.Queues, w.Consumers, w.Window, w.Messages, w.Mode = 2, 2, 100, 500, ModePublish
	publish := Measurement{Workload: w, Address: address}
	results, err := publish.Run(t.Context())
	if err != nil || results[0].Published != 500 || results[0].Failed() || len(results[0].Unchecked) == 0 {
		t.Fatalf("%+v, %v", results, err)
	}
	consume := func(change func(*Workload)) Result {
		t.Helper()
		w := w
		w.Mode, w.Messages = ModeConsume, 0
		change(&w)
		m := Measurement{Workload: w, Address: address}
		results, err := m.Run(t.Context())
		if err != nil || results[0].Failed() || len(results[0].Unchecked) == 0 {
			t.Fatalf("%+v, %v", results, err)
		}
		return results[0]
	}
	if r := consume(func(w *Workload) { w.Messages, w.Prefetch, w.AckEvery = 10, 10, 1 }); r.Delivered < 10 || r.Delivered > 100 {
		t.Errorf("%d delivered when 10 were wanted", r.Delivered)
	}
	if r := consume(func(*Workload) {}); r.Delivered < 400 {
		t.Errorf("%d delivered of those that were left", r.Delivered)
	}
	if r := consume(func(w *Workload) { w.Duration = 50 * time.Millisecond }); r.Delivered != 0 || r.Elapsed < 50*time.Millisecond {
		t.Errorf("%d delivered in %v when nothing was there", r.Delivered, r.Elapsed)
	}
	if r := consume(func(*Workload) {}); r.Delivered != 0 {
		t.Errorf("%d delivered when nothing was there", r.Delivered)
	}
}

func TestContradictionsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*Workload){
		"exclude each other":     func(w *Workload) { w.Duration = time.Second },
		"duration is negative":   func(w *Workload) { w.Messages, w.Duration = 0, -1 },
		"without a rate":         func(w *Workload) { w.Mode, w.Rate = ModeBacklog, 5 },
		"not filled before":      func(w *Workload) { w.Mode, w.Prefill = ModeBacklog, 5 },
		"warm-up":                func(w *Workload) { w.Mode, w.WarmUp = ModeConsume, 5 },
		"fills nothing":          func(w *Workload) { w.Mode, w.Prefill = ModeConsume, 5 },
		"16 bytes":               func(w *Workload) { w.Latency, w.Size = true, Bytes(15) },
		"binding keys":           func(w *Workload) { w.BindingKeys = []string{"x"} },
		"queues' names":          func(w *Workload) { w.RoutingKeys = []string{"x"} },
		"idle bindings":          func(w *Workload) { w.IdleBindings = 1 },
		"stop reading have":      func(w *Workload) { w.ConsumerRate, w.Connections = 5, 1 },
		"neither drain":          func(w *Workload) { w.StopReading, w.Mode = true, ModeBacklog },
		"consumer rate":          func(w *Workload) { w.ConsumerRate = -1 },
		"both binding":           func(w *Workload) { w.Exchange, w.RoutingKeys = ExchangeHeaders, []string{"x"} },
		"channels":               func(w *Workload) { w.Producers, w.Connections = 3000, 1 },
		"bindings: 0":            func(w *Workload) { w.Exchange, w.Bindings = ExchangeDirect, 0 },
		"messages: 0":            func(w *Workload) { w.Messages = 0 },
		"consumers: 1 is not be": func(w *Workload) { w.Queues = 2 },
	} {
		w := Base()
		w.Messages = 10
		change(&w)
		wantFault(t, w.Validate(), want)
	}
}
