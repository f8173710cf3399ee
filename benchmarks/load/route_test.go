package load

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestTopicPatternsMatchAsTheProtocolSays(t *testing.T) {
	for _, test := range []struct {
		pattern, key string
		want         bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"#", "", true},
		{"#.c", "a.b.c", true},
		{"#.c", "a.b", false},
		{"*.item7.#", "region1.item7.price", true},
		{"*.item7.#", "region1.item8.price", false},
	} {
		if got := topicMatches(strings.Split(test.pattern, "."), strings.Split(test.key, ".")); got != test.want {
			t.Errorf("%s and %s: %v", test.pattern, test.key, got)
		}
	}
}

func TestRoutesOfTheUsersKeys(t *testing.T) {
	tests := []struct {
		name              string
		exchange          ExchangeKind
		bindings, routing []string
		want              [][]int // queues of each route
	}{
		{"direct", ExchangeDirect, []string{"a", "b", "a"}, []string{"a", "b", "c"}, [][]int{{0, 2}, {1}, nil}},
		{"direct without routing keys", ExchangeDirect, []string{"a", "b", "c"}, nil, [][]int{{0}, {1}, {2}}},
		{"topic", ExchangeTopic, []string{"a.#", "*.x", "a.x"}, []string{"a.x", "b.x", "b"}, [][]int{{0, 1, 2}, {1}, nil}},
		{"fewer bindings than queues", ExchangeTopic, []string{"#"}, []string{"k"}, [][]int{{0, 1, 2}}},
		{"headers", ExchangeHeaders, []string{"a", "b", "c"}, []string{"b"}, [][]int{{1}}},
		{"fanout", ExchangeFanout, nil, []string{"a", "b"}, [][]int{{0, 1, 2}, {0, 1, 2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := Base()
			w.Queues, w.Exchange, w.BindingKeys, w.RoutingKeys = 3, test.exchange, test.bindings, test.routing
			var got [][]int
			for _, r := range w.routing().of(0) {
				got = append(got, r.queues)
				if test.exchange == ExchangeHeaders && (r.headers[itemHeader] != "b" || r.key != "") {
					t.Errorf("route %+v", r)
				}
			}
			if !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("queues %v, want %v", got, test.want)
			}
		})
	}
}

func TestQueuesAreNamedAsTheUserSays(t *testing.T) {
	w := Base()
	if got := w.queueName(0); got != "millrace-bench.custom.0" {
		t.Error(got)
	}
	w.QueueName = "mine"
	if got := w.queueName(0); got != "mine" {
		t.Error(got)
	}
	w.Queues = 2
	if got := w.queueName(1); got != "mine.1" {
		t.Error(got)
	}
}

func TestWhatCannotBeCheckedIsSaid(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Workload)
		want   string
	}{
		{"plain", func(*Workload) {}, ""},
		{"consume only", func(w *Workload) { w.Mode = ModeConsume }, "only counted"},
		{"publish only", func(w *Workload) { w.Mode = ModePublish }, "only confirms"},
		{"small bodies", func(w *Workload) { w.Size = Sizes{[]sizePart{{15, 100, 1}}} }, "less than 16 bytes"},
		{"shared queue", func(w *Workload) { w.Consumers = 2 }, "order"},
		{"bounded queue", func(w *Workload) { w.Arguments = amqp.Table{"x-max-length": int64(3)} }, "x-max-length"},
	} {
		w := Base()
		test.change(&w)
		got := strings.Join(w.Unchecked(), "; ")
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
