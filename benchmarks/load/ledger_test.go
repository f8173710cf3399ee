package load

import (
	"testing"

	"pgregory.net/rapid"
)

// body is the body of message n of a producer.
func body(producer uint16, n uint64) []byte {
	b := make([]byte, stampSize)
	stamp{producer: producer, sequence: n}.put(b)
	return b
}

// auditOf audits queues by what their consumers got.
func auditOf(w *Workload, sent []uint64, byQueue ...[]*ledger) Faults {
	a := account{w.routing(), sent}
	return a.audit(byQueue)
}

func TestLedgerFindsFaults(t *testing.T) {
	w := &Workload{Exchange: ExchangeDefault, Size: Bytes(stampSize), Producers: 1, Queues: 1, Consumers: 2}
	tests := []struct {
		name          string
		first, second []uint64 // what each consumer of the queue gets
		want          Faults
	}{
		{"all in order", []uint64{0, 1, 2, 3, 4}, nil, Faults{}},
		{"shared by two consumers", []uint64{0, 2, 4}, []uint64{1, 3}, Faults{}},
		{"nothing at all", nil, nil, Faults{Lost: 5}},
		{"one lost", []uint64{0, 1, 3, 4}, nil, Faults{Lost: 1}},
		{"last one lost", []uint64{0, 1, 2, 3}, nil, Faults{Lost: 1}},
		{"one twice", []uint64{0, 1, 1, 2, 3, 4}, nil, Faults{Duplicated: 1}},
		{"one twice, late", []uint64{0, 1, 2, 3, 4, 0}, nil, Faults{Duplicated: 1}},
		{"one for both consumers", []uint64{0, 1, 2}, []uint64{2, 3, 4}, Faults{Duplicated: 1}},
		{"two swapped", []uint64{0, 2, 1, 3, 4}, nil, Faults{Reordered: 1}},
		{"one too late", []uint64{1, 2, 3, 4, 0}, nil, Faults{Reordered: 1}},
		{"never sent", []uint64{0, 1, 2, 3, 4, 5}, nil, Faults{Foreign: 1}},
		{"all at once", []uint64{4, 1, 1, 9}, []uint64{4, 3}, Faults{Lost: 2, Duplicated: 2, Reordered: 2, Foreign: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			first, second := newLedger(w), newLedger(w)
			for _, n := range test.first {
				first.note(body(0, n))
			}
			for _, n := range test.second {
				second.note(body(0, n))
			}
			if got := auditOf(w, []uint64{5}, []*ledger{first, second}); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLedgerRefusesWhatIsNoStampOfTheRun(t *testing.T) {
	l := newLedger(&Workload{Size: Bytes(100), Producers: 2})
	for _, b := range [][]byte{nil, make([]byte, stampSize-1), body(2, 0), body(1, maxGap)} {
		if _, first := l.note(b); first {
			t.Errorf("%x was taken for a message of the run", b)
		}
	}
	if l.foreign != 4 {
		t.Errorf("%d foreign messages, want 4", l.foreign)
	}
}

func TestAuditFindsMisroutedMessages(t *testing.T) {
	// Two queues take turns: queue 0 is to get 0 and 2, queue 1 is to get 1 and 3.
	w := &Workload{Name: "test", Exchange: ExchangeDefault, Size: Bytes(stampSize), Producers: 1, Queues: 2, Consumers: 2}
	zero, one := newLedger(w), newLedger(w)
	for _, n := range []uint64{0, 1, 2} {
		zero.note(body(0, n))
	}
	one.note(body(0, 3))
	if got, want := auditOf(w, []uint64{4}, []*ledger{zero}, []*ledger{one}), (Faults{Misrouted: 1, Lost: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAuditOnlyCountsBodiesWithoutStamp(t *testing.T) {
	w := &Workload{Exchange: ExchangeDefault, Size: Bytes(stampSize - 1), Producers: 1, Queues: 1}
	for got, want := range map[uint64]Faults{10: {}, 7: {Lost: 3}, 12: {Duplicated: 2}} {
		if faults := auditOf(w, []uint64{10}, []*ledger{{messages: got}}); faults != want {
			t.Errorf("%d messages: got %+v, want %+v", got, faults, want)
		}
	}
}

// A chunk that is complete takes no memory, and still knows what came.
func TestLedgerForgetsNothing(t *testing.T) {
	w := &Workload{Exchange: ExchangeDefault, Size: Bytes(stampSize), Producers: 1, Queues: 1, Consumers: 1}
	l := newLedger(w)
	const sent = 3*chunkSize + 10
	for n := range uint64(sent) {
		if n != chunkSize+7 {
			l.note(body(0, n))
		}
	}
	track := l.producers[0]
	if track.chunks[0].seen != nil || track.chunks[1].seen == nil || track.chunks[2].seen != nil {
		t.Errorf("what takes memory: %+v", track.chunks)
	}
	for _, n := range []uint64{5, chunkSize + 6, sent - 1} {
		if _, first := l.note(body(0, n)); first {
			t.Errorf("message %d comes for the first time again", n)
		}
	}
	if got, want := auditOf(w, []uint64{sent}, []*ledger{l}), (Faults{Lost: 1, Duplicated: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStampsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp{
			producer: rapid.Uint16().Draw(t, "producer"),
			sequence: rapid.Uint64Max(1<<sequenceBits-1).Draw(t, "sequence"),
			due:      rapid.Int64().Draw(t, "due"),
		}
		b := make([]byte, stampSize)
		want.put(b)
		if got := parseStamp(b); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}
