package segment

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSettleRangesComeBackInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Range {
			from := rapid.Uint64Range(1, 1<<62).Draw(t, "from")
			return Range{LSN(from), LSN(from + rapid.Uint64Range(0, 1<<20).Draw(t, "span"))}
		}), 0, 20).Draw(t, "ranges")
		var b Batch
		b.AppendSettle(5, 1, 99, SettleAck, ranges)
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		view, err := ParseBatch(b.Seal(1, testEpoch, 1, 0), 0, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range view.Records() {
			s, err := r.Settle()
			if err != nil || s.Queue != 99 || s.Reason != SettleAck || s.Count() != len(ranges) {
				t.Fatalf("settle %+v: %v", s, err)
			}
			if got := slices.Collect(s.Ranges()); !slices.Equal(got, ranges) {
				t.Fatalf("ranges %v, want %v", got, ranges)
			}
		}
	})
}

func TestSettleNamesRecordsBeforeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := LSN(rapid.Uint64Range(2, 1<<62).Draw(t, "first"))
		before := rapid.IntRange(1, 300).Draw(t, "records before it")
		reference := func(name string) (Reference, LSN) {
			switch rapid.IntRange(0, 2).Draw(t, name) {
			case 0:
				return Reference{}, 0
			case 1:
				place := rapid.IntRange(1, before).Draw(t, name+"'s place")
				return Reference{Place: place}, first + LSN(place-1)
			}
			lsn := LSN(rapid.Uint64Range(1, uint64(first-1)).Draw(t, name+"'s number"))
			return Reference{LSN: lsn}, lsn
		}
		h := SettleHead{Queue: 7, Reason: SettleTransfer}
		var consumer, successor LSN
		h.Consumer, consumer = reference("consumer")
		h.Successor, successor = reference("successor")
		var b Batch
		for range before {
			b.Append(KindConsumer, 0, 1, 1, []byte("x"))
		}
		b.AppendSettled(h, []Range{{1, 1}})
		view, err := ParseBatch(b.Seal(first, testEpoch, 1, 0), 0, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range view.Records() {
			if r.Kind() != KindSettle {
				continue
			}
			if s, err := r.Settle(); err != nil || s.Consumer != consumer || s.Successor != successor {
				t.Fatalf("%+v: %v, want consumer %d, successor %d", s, err, consumer, successor)
			}
		}
	})
}

func TestBuilderRefusesWhatCannotBeWritten(t *testing.T) {
	open := func(b *Batch, size int) { b.BeginPublish(PublishHead{BodySize: size}) }
	cases := map[string]struct {
		build func(b *Batch)
		want  error // nil = any
	}{
		"body never ended":      {func(b *Batch) { open(b, 0) }, errOpenPublish},
		"two publishes at once": {func(b *Batch) { open(b, 0); open(b, 0) }, errOpenPublish},
		"settle inside publish": {func(b *Batch) { open(b, 0); b.AppendSettle(0, 0, 1, SettleAck, nil) }, errOpenPublish},
		"body without publish":  {func(b *Batch) { b.AppendBody([]byte("x")) }, errNoPublish},
		"end without publish":   {func(b *Batch) { b.EndPublish() }, errNoPublish},
		"body too short":        {func(b *Batch) { open(b, 2); b.AppendBody([]byte("x")); b.EndPublish() }, nil},
		"body too long":         {func(b *Batch) { open(b, 2); b.AppendBody([]byte("xyz")) }, nil},
		"negative body":         {func(b *Batch) { open(b, -1) }, ErrTooLarge},
		"body over the limit":   {func(b *Batch) { open(b, MaxRecord) }, ErrTooLarge},
		"names over the limit":  {func(b *Batch) { b.BeginPublish(PublishHead{Keys: make([]byte, 1<<16)}) }, ErrTooLarge},
		"range from nothing":    {func(b *Batch) { b.AppendSettle(0, 0, 1, SettleAck, []Range{{0, 4}}) }, nil},
		"reference ahead": {func(b *Batch) {
			b.AppendSettled(SettleHead{Queue: 1, Reason: SettleAck, Consumer: Reference{Place: 1}}, nil)
		}, nil},
		"range backwards": {func(b *Batch) { b.AppendSettle(0, 0, 1, SettleAck, []Range{{4, 3}}) }, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var b Batch
			c.build(&b)
			err := b.Err()
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("fault %v, want %v", err, c.want)
			}
			b.Reset()
			if b.Err() != nil || b.Count() != 0 || b.Len() != BatchHeaderSize {
				t.Fatalf("reset left %v, %d records, %d bytes", b.Err(), b.Count(), b.Len())
			}
		})
	}
}

func TestAbortedPublishLeavesNoTrace(t *testing.T) {
	var with, without Batch
	publish(&with, "kept", 1)
	with.BeginPublish(PublishHead{Keys: testKeys, BodySize: 100})
	with.AppendBody([]byte("part"))
	with.AbortPublish()
	publish(&with, "too", 1)
	publish(&without, "kept", 1)
	publish(&without, "too", 1)
	if with.Err() != nil || !bytes.Equal(with.Seal(1, 2, 3, 0), without.Seal(1, 2, 3, 0)) {
		t.Fatalf("aborted publish changed the batch: %v", with.Err())
	}
}

func TestABatchCanBeSealedAgain(t *testing.T) {
	b := batchOf("one", "two")
	b.Seal(5, 6, 7, 0)
	again := bytes.Clone(b.Seal(50, testEpoch, 8, 1))
	fresh := batchOf("one", "two")
	if !bytes.Equal(again, fresh.Seal(50, testEpoch, 8, 1)) {
		t.Fatal("second seal differs from a first")
	}
}

func TestBatchRemembersEachSetOnce(t *testing.T) {
	one, two := &RouteSet{ID: 1, Queues: []QueueID{3}}, &RouteSet{ID: 2}
	var b Batch
	for _, set := range []*RouteSet{one, two, one} {
		b.BeginPublish(PublishHead{Set: set, Keys: testKeys})
		b.EndPublish()
	}
	if !slices.Equal(b.Sets(), []*RouteSet{one, two}) {
		t.Fatalf("sets %v", b.Sets())
	}
	b.Reset()
	if len(b.Sets()) != 0 {
		t.Fatal("reset kept the sets")
	}
}

func TestOffsetsFindEveryRecord(t *testing.T) {
	offsets := NewOffsets(1 << 20)
	var places []int64
	at := int64(HeaderSize)
	for range 300 {
		b := batchOf("a", "bb", "ccc", "dddd", "", "x", "y", "z", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
		offsets.AppendBatch(b, at)
		for _, built := range b.records {
			places = append(places, at+int64(built.start))
		}
		at += int64(b.Len())
	}
	if offsets.Len() != len(places) {
		t.Fatalf("%d places, want %d", offsets.Len(), len(places))
	}
	for i, want := range places {
		if got := offsets.At(i); got != want {
			t.Fatalf("record %d at %d, want %d", i, got, want)
		}
	}
}

func TestBuildingAndDecodingAllocateNothing(t *testing.T) {
	body, header := make([]byte, 1024), make([]byte, 30)
	queues := []QueueID{1, 2, 3}
	set := &RouteSet{ID: 1, Queues: queues}
	ranges := []Range{{5, 9}, {20, 20}}
	var b Batch
	build := func() {
		b.Reset()
		for range 16 {
			b.BeginPublish(PublishHead{Queues: queues, Keys: testKeys, Header: header, BodySize: len(body)})
			b.AppendBody(body)
			b.EndPublish()
		}
		b.BeginPublish(PublishHead{Set: set, Keys: testKeys, Header: header})
		b.EndPublish()
		b.AppendSettle(1, 1, 1, SettleAck, ranges)
		b.AppendHorizon(1, 1, 1, 9)
		b.Seal(1, testEpoch, 1, 0)
	}
	build()
	if n := testing.AllocsPerRun(100, build); n != 0 {
		t.Errorf("building allocates %v times", n)
	}
	data := b.Seal(1, testEpoch, 1, 0)
	dst := make([]QueueID, 0, 8)
	sum := 0
	decode := func() {
		view, err := ParseBatch(data, 0, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range view.Records() {
			switch r.Kind() {
			case KindPublish:
				p, _ := r.Publish()
				dst, _ = p.AppendQueues(dst[:0])
				exchange, _, _ := p.Names()
				sum += len(p.Body) + len(dst) + len(exchange)
			case KindSettle:
				s, _ := r.Settle()
				for got := range s.Ranges() {
					sum += int(got.From)
				}
			case KindHorizon:
				h, _ := r.Horizon()
				sum += int(h.LSN)
			}
			if !r.Valid() {
				t.Fatal("invalid record")
			}
		}
	}
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("decoding allocates %v times", n)
	}
}
