package history_test

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/history"
)

// log builds records and feeds them.
type log struct {
	testing.TB
	batch    segment.Batch
	next     segment.LSN
	topology *history.Topology
	contents *history.Contents
	stories  []*history.Story
}

func newLog(t testing.TB) *log {
	return &log{TB: t, next: 1, topology: history.NewTopology(), contents: history.NewContents()}
}

// apply builds one record and feeds it.
func (l *log) apply(queues []segment.QueueID, build func(b *segment.Batch)) error {
	l.Helper()
	l.batch.Reset()
	build(&l.batch)
	if err := l.batch.Err(); err != nil {
		l.Fatal(err)
	}
	r, err := segment.RecordAt(l.batch.Seal(l.next, 1, 0, 0), segment.BatchHeaderSize)
	if err != nil {
		l.Fatal(err)
	}
	l.next++
	when := time.UnixMilli(int64(l.next))
	err = errors.Join(l.topology.Apply(r, when), l.contents.Apply(r, queues, l.topology))
	for _, s := range l.stories {
		err = errors.Join(err, s.Apply(r, when, queues, l.topology))
	}
	return err
}

func (l *log) must(queues []segment.QueueID, build func(b *segment.Batch)) segment.LSN {
	l.Helper()
	if err := l.apply(queues, build); err != nil {
		l.Fatal(err)
	}
	return l.next - 1
}

func (l *log) change(t amqp.Table) segment.LSN {
	l.Helper()
	return l.must(nil, func(b *segment.Batch) { b.Append(segment.KindTopology, 0, 1, 0, t.Raw()) })
}

func (l *log) catalogue(entries ...amqp.Table) {
	l.Helper()
	var payload []byte
	for _, e := range entries {
		payload = binary.LittleEndian.AppendUint32(payload, uint32(len(e.Raw())))
		payload = append(payload, e.Raw()...)
	}
	l.must(nil, func(b *segment.Batch) { b.Append(segment.KindCatalogue, 0, 0, 0, payload) })
}

func (l *log) publish(mode uint8, size int, queues ...segment.QueueID) segment.LSN {
	l.Helper()
	return l.must(queues, func(b *segment.Batch) {
		b.BeginPublish(segment.PublishHead{
			VHost: 1, Queues: queues, Keys: amqp.MakeKeys("", "q"), BodySize: size,
			Header: amqp.AppendHeader(nil, uint64(size), &amqp.Properties{DeliveryMode: mode}),
		})
		b.AppendBody(make([]byte, size))
		b.EndPublish()
	})
}

func (l *log) settle(q segment.QueueID, reason segment.SettleReason, ranges ...segment.Range) segment.LSN {
	l.Helper()
	return l.must(nil, func(b *segment.Batch) { b.AppendSettle(0, 1, q, reason, ranges) })
}

func host() amqp.Table { return amqp.Table{"op": "vhost.create", "vhost": uint32(1), "name": "/"} }

func queueOf(name string, id int64, durable bool) amqp.Table {
	t := amqp.Table{
		"op": "queue.declare", "vhost": uint32(1), "name": name, "durable": durable, "exclusive": false,
		"auto_delete": false, "arguments": amqp.Table{},
	}
	if id != 0 {
		t["id"] = id
	}
	return t
}

func gone(name string, id segment.QueueID) amqp.Table {
	return amqp.Table{"op": "queue.delete", "vhost": uint32(1), "name": name, "id": int64(id)}
}

func TestALogThatBeginsInTheMiddleIsKnownByItsCatalogue(t *testing.T) {
	l := newLog(t)
	l.next = 5000
	l.catalogue(host(), queueOf("a", 17, true))
	l.catalogue(queueOf("b", 18, true))
	id := segment.QueueID(l.change(queueOf("c", 0, true)))
	l.catalogue(host(), queueOf("never", 99, true)) // repeats what is known, and is not looked into
	for name, want := range map[string]segment.QueueID{"a": 17, "b": 18, "c": id} {
		if found := l.topology.Find("/", name); len(found) != 1 || found[0].ID != want || !found[0].Exists() {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if l.topology.Queue(99) != nil {
		t.Error("a later catalogue was believed")
	}
}

func TestNamesOfDeletedQueuesStayKnown(t *testing.T) {
	l := newLog(t)
	l.change(host())
	first := segment.QueueID(l.change(queueOf("q", 0, true)))
	l.publish(2, 1, first)
	deleted := l.change(gone("q", first))
	second := segment.QueueID(l.change(queueOf("q", 0, true)))
	found := l.topology.Find("/", "q")
	if len(found) != 2 || found[0].ID != first || found[0].Deleted.LSN != deleted || found[1].ID != second || !found[1].Exists() {
		t.Errorf("%+v", found)
	}
	if name, ok := l.topology.QueueName(first); !ok || name != "q" {
		t.Errorf("%q, %v", name, ok)
	}
	if n := l.contents.Queue(first).Count(); n != 0 {
		t.Errorf("a deleted queue holds %d", n)
	}
	l.change(amqp.Table{"op": "vhost.delete", "name": "/"})
	if name, ok := l.topology.VHostName(1); !ok || name != "/" || found[1].Exists() {
		t.Errorf("%q, %v, %+v", name, ok, found[1])
	}
}

func TestAfterMissedRecordsTheNextCatalogueTellsWhatIs(t *testing.T) {
	l := newLog(t)
	l.change(host())
	left := segment.QueueID(l.change(queueOf("left", 0, true)))
	lost := segment.QueueID(l.change(queueOf("lost", 0, true)))
	l.topology.Missed()
	l.catalogue(host(), queueOf("left", int64(left), true), queueOf("new", 77, true))
	l.publish(2, 1, 77)
	if q := l.topology.Queue(left); !q.Exists() {
		t.Errorf("%+v", q)
	}
	if q := l.topology.Queue(lost); q.Exists() {
		t.Errorf("%+v", q)
	}
	if found := l.topology.Find("/", "new"); len(found) != 1 || found[0].Declared.LSN != 77 {
		t.Errorf("%+v", found)
	}
}

func TestARestartDropsTransientMessages(t *testing.T) {
	l := newLog(t)
	l.change(host())
	classic := segment.QueueID(l.change(queueOf("classic", 0, true)))
	table := queueOf("quorum", 0, true)
	table["arguments"] = amqp.Table{"x-queue-type": "quorum"}
	quorum := segment.QueueID(l.change(table))
	l.publish(2, 1, classic, quorum)
	passing := l.next
	l.stories = append(l.stories, history.NewStory(passing))
	l.publish(1, 1, classic, quorum)
	if n := l.contents.Queue(classic).Transient(); n != 1 {
		t.Errorf("%d transient", n)
	}
	l.change(amqp.Table{"op": "broker.start", "version": "1"})
	if c, q := l.contents.Queue(classic).Count(), l.contents.Queue(quorum).Count(); c != 1 || q != 2 {
		t.Errorf("classic holds %d, quorum %d", c, q)
	}
	s := l.stories[0]
	events := s.Events()
	if !s.Transient() || len(events) != 3 || events[2].What != history.Restarted || !slices.Equal(s.Holding(), []segment.QueueID{quorum}) {
		t.Errorf("%+v, held by %v", events, s.Holding())
	}
}

func TestWhatANewerMillraceWroteIsCounted(t *testing.T) {
	l := newLog(t)
	l.change(host())
	l.change(amqp.Table{"op": "queue.fold", "vhost": uint32(1)})
	if unknown := l.topology.Unknown(); unknown["queue.fold"] != 1 {
		t.Errorf("%v", unknown)
	}
}

func TestAMalformedRecordIsAnErrorAndNothingElse(t *testing.T) {
	for name, build := range map[string]func(b *segment.Batch){
		"table": func(b *segment.Batch) { b.Append(segment.KindTopology, 0, 1, 0, []byte{9, 'x'}) },
		"field": func(b *segment.Batch) {
			b.Append(segment.KindTopology, 0, 1, 0, amqp.Table{"op": "bind", "vhost": 1}.Raw())
		},
		"settle":    func(b *segment.Batch) { b.Append(segment.KindSettle, 0, 1, 0, []byte{1}) },
		"horizon":   func(b *segment.Batch) { b.Append(segment.KindHorizon, 0, 1, 0, []byte{1}) },
		"catalogue": func(b *segment.Batch) { b.Append(segment.KindCatalogue, 0, 1, 0, []byte{1}) },
	} {
		l := newLog(t)
		l.change(host())
		l.topology.Missed() // or the catalogue is not looked into
		if err := l.apply(nil, build); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUseTellsWhatPinsAFile(t *testing.T) {
	l := newLog(t)
	l.change(host()) // 1
	for range 4 {
		l.publish(2, 100, 10, 20) // 2 to 5
	}
	l.publish(2, 100, 30) // 6
	l.settle(10, segment.SettleAck, segment.Range{From: 2, To: 3})
	l.settle(20, segment.SettleAck, segment.Range{From: 2, To: 2}, segment.Range{From: 4, To: 5})
	uses := l.contents.Use([]history.Span{{First: 1, Last: 2}, {First: 3, Last: 4}, {First: 5, Last: 8}})
	size := l.contents.Queue(30).Bytes()
	want := []history.Use{
		{},
		{Records: 2, Pins: []history.Pin{{Queue: 10, Records: 1}, {Queue: 20, Records: 1}}},
		{Records: 2, Pins: []history.Pin{{Queue: 10, Records: 1}, {Queue: 30, Records: 1}}},
	}
	for i, use := range uses {
		if use.Records != want[i].Records || !slices.Equal(use.Pins, want[i].Pins) {
			t.Errorf("file %d: %+v, want %+v", i, use, want[i])
		}
	}
	if uses[0].Bytes != 0 || uses[2].Bytes < size+100 {
		t.Errorf("bytes %d, %d; one record has %d", uses[0].Bytes, uses[2].Bytes, size)
	}
}

// The contents are those of sets of numbers, whatever comes.
func TestContentsAgreeWithSets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLog(t)
		model := map[segment.QueueID]map[segment.LSN]bool{1: {}, 2: {}, 3: {}}
		someQueue := rapid.SampledFrom([]segment.QueueID{1, 2, 3})
		for range rapid.IntRange(1, 60).Draw(rt, "records") {
			if rapid.IntRange(0, 2).Draw(rt, "what") > 0 {
				queues := rapid.SliceOfNDistinct(someQueue, 0, 3, rapid.ID[segment.QueueID]).Draw(rt, "queues")
				lsn := l.publish(2, 10, queues...)
				for _, id := range queues {
					model[id][lsn] = true
				}
				continue
			}
			q := someQueue.Draw(rt, "queue")
			from := segment.LSN(rapid.IntRange(1, int(l.next)).Draw(rt, "from"))
			to := from + segment.LSN(rapid.IntRange(0, 5).Draw(rt, "more"))
			l.settle(q, segment.SettleAck, segment.Range{From: from, To: to})
			maps.DeleteFunc(model[q], func(lsn segment.LSN, _ bool) bool { return from <= lsn && lsn <= to })
		}
		for id, want := range model {
			h := l.contents.Queue(id)
			if got := slices.Collect(h.LSNs()); !slices.Equal(got, slices.SortedFunc(maps.Keys(want), cmp.Compare)) ||
				h.Count() != uint64(len(want)) || h.Published-h.Left[segment.SettleAck] != h.Count() {
				rt.Fatalf("queue %d holds %v, want %v; %d came, %d left", id, got, want, h.Published, h.Left[segment.SettleAck])
			}
		}
	})
}

func FuzzAnyTopologyRecordIsTaken(f *testing.F) {
	for _, seed := range []amqp.Table{
		host(), queueOf("q", 0, true), gone("q", 2),
		{"op": "exchange.declare", "vhost": 1, "name": "x", "type": "topic", "durable": true, "auto_delete": true, "internal": false, "arguments": amqp.Table{}},
		{"op": "bind", "vhost": 1, "source": "x", "destination": "q", "destination_type": "queue", "routing_key": "#", "arguments": amqp.Table{}},
		{"op": "policy.put", "vhost": 1, "policy": amqp.Table{"name": "p", "pattern": "(", "apply_to": "all", "priority": 1, "definition": amqp.Table{}, "operator": false}},
		{"op": "keeper.declare", "vhost": 1, "exchange": "x", "keeps": "history"},
		{"op": "consumer.start", "queue": 1, "tag": "t"},
	} {
		f.Add([]byte(seed.Raw()), false)
	}
	f.Fuzz(func(t *testing.T, payload []byte, catalogue bool) {
		l := newLog(t)
		kind := segment.KindTopology
		if catalogue {
			kind = segment.KindCatalogue
		}
		_ = l.apply(nil, func(b *segment.Batch) { b.Append(segment.KindTopology, 0, 1, 0, host().Raw()) })
		for range 2 {
			_ = l.apply(nil, func(b *segment.Batch) { b.Append(kind, 0, 1, 0, payload) })
			l.topology.Missed()
		}
		_ = l.apply(nil, func(b *segment.Batch) { b.Append(segment.KindTopology, 0, 1, 0, queueOf("q", 0, true).Raw()) })
	})
}

// A log of 1 KiB messages that is read at 1 GB/s has 1 µs for each.
func BenchmarkFold(b *testing.B) {
	l := newLog(b)
	l.change(host())
	var batch segment.Batch
	queues := []segment.QueueID{7}
	body := make([]byte, 1024)
	for range 64 {
		batch.BeginPublish(segment.PublishHead{
			VHost: 1, Queues: queues, Keys: amqp.MakeKeys("", "q"), BodySize: len(body),
			Header: amqp.AppendHeader(nil, 1024, &amqp.Properties{DeliveryMode: 2, Headers: amqp.Table{"x": "y"}}),
		})
		batch.AppendBody(body)
		batch.EndPublish()
	}
	b.SetBytes(1024)
	when := time.Now()
	for n := 0; b.Loop(); n++ {
		if n%64 == 0 {
			b.StopTimer()
			sealed := batch.Seal(l.next, 1, 0, 0)
			l.next += 65
			b.StartTimer()
			for at := segment.BatchHeaderSize; at < len(sealed); {
				r, err := segment.RecordAt(sealed, at)
				if err != nil {
					b.Fatal(err)
				}
				at += (len(r) + 7) &^ 7
				if err := errors.Join(l.topology.Apply(r, when), l.contents.Apply(r, queues, l.topology)); err != nil {
					b.Fatal(err)
				}
			}
			if l.next > 100_000 {
				l.settle(7, segment.SettleAck, segment.Range{From: l.next - 100_000, To: l.next - 100_000 + 65})
			}
		}
	}
}
