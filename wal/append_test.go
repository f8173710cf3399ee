package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

func TestAppliedIsCalledInTheLogsOrder(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	var order []segment.LSN // guarded by the append lock
	var appenders sync.WaitGroup
	for range 4 {
		appenders.Go(func() {
			var b segment.Batch
			for i := range 200 {
				b.Reset()
				for range i%3 + 1 {
					addPublish(&b, "x", 1)
				}
				if err := l.Append(&b, func(first segment.LSN) { order = append(order, first) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appenders.Wait()
	if !slices.IsSorted(order) || len(order) != 800 {
		t.Fatalf("%d calls, sorted %v", len(order), slices.IsSorted(order))
	}
	closeLog(t, l)
}

func TestBatchIsWrittenOnlyIfItMay(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	defer closeLog(t, l)
	var b segment.Batch
	addPublish(&b, "x", 1)
	last, refusal := l.Last(), errors.New("not empty")
	err := l.AppendIf(&b, func() error { return refusal }, func(segment.LSN) { t.Error("applied") })
	if err != refusal || l.Last() != last {
		t.Errorf("refused: %v, last record %d, was %d", err, l.Last(), last)
	}
	// Whoever appends meanwhile comes before the question or behind the batch.
	var asked segment.LSN
	var appenders sync.WaitGroup
	for range 4 {
		appenders.Go(func() {
			var other segment.Batch
			addPublish(&other, "y", 1)
			for range 100 {
				if err := l.Append(&other, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		err := l.AppendIf(&b, func() error { asked = l.Last(); return nil }, func(first segment.LSN) {
			if first != asked+1 {
				t.Errorf("record %d was asked about behind record %d", first, asked)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	appenders.Wait()
}

func TestEmptyAndFaultyBatchesAreRefused(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	var b segment.Batch
	if err := l.Append(&b, nil); err == nil {
		t.Error("empty batch was taken")
	}
	b.BeginPublish(segment.PublishHead{BodySize: 1})
	if err := l.Append(&b, nil); err == nil {
		t.Error("open publish was taken")
	}
	if l.Last() != 0 {
		t.Errorf("last %d", l.Last())
	}
}

func TestNoAppendBeforeStartOrAfterClose(t *testing.T) {
	l := openOnly(t, Config{Dir: t.TempDir()})
	if err := tryAppend(l, "early"); !errors.Is(err, ErrClosed) {
		t.Fatalf("before start: %v", err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err == nil {
		t.Fatal("started twice")
	}
	closeLog(t, l)
	if err := tryAppend(l, "late"); !errors.Is(err, ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
}

func TestABatchLargerThanASegmentGetsItsOwn(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := []string{"before", strings.Repeat("y", 3*testSegmentSize), strings.Repeat("z", 5000)}
	for _, text := range want {
		appendBodies(t, l, text)
	}
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatal("records differ")
	}
	sizes := []int64{}
	for _, info := range l.Segments() {
		sizes = append(sizes, info.Size)
	}
	if len(sizes) != 3 || sizes[0] != testSegmentSize || sizes[1] <= 3*testSegmentSize || sizes[2] != testSegmentSize {
		t.Fatalf("segments of %v bytes", sizes)
	}
	closeLog(t, l)
	goOn(t, l.cfg.Dir, want)
}

func TestALargeFirstBatchReplacesTheEmptySegment(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := []string{strings.Repeat("y", 3*testSegmentSize), strings.Repeat("z", 9000)}
	for _, text := range want {
		appendBodies(t, l, text)
	}
	if n := len(l.Segments()); n != 2 {
		t.Fatalf("%d segments", n)
	}
	if err := l.SyncTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	dir := clone(t, l.cfg.Dir)
	awaitSealed(t, l, 1)
	if err := l.Retire(2); err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, l); !slices.Equal(got, want[1:]) {
		t.Fatal("records differ after retiring")
	}
	closeLog(t, l)
	goOn(t, dir, want)
}

func TestCatalogueStartsEverySegment(t *testing.T) {
	n := 0
	var stated, empty segment.Batch
	l := openLog(t, Config{Dir: t.TempDir(), Catalogue: func() []*segment.Batch {
		n++
		stated.Reset()
		stated.Append(segment.KindCatalogue, 0, 0, 0, fmt.Append(nil, "catalogue ", n))
		return []*segment.Batch{&stated, &empty}
	}})
	rotated(t, l, 3)
	v := l.NewView()
	defer v.Release()
	last := 0
	for i, info := range l.Segments() {
		r, err := v.Record(info.Base)
		if err != nil || r.Kind() != segment.KindCatalogue {
			t.Fatalf("segment %d begins with %v %q: %v", i, r.Kind(), r.Payload(), err)
		}
		made := 0 // one made before a wait for a spare is made anew
		if _, err := fmt.Sscanf(string(r.Payload()), "catalogue %d", &made); err != nil || made <= last {
			t.Fatalf("segment %d begins with %q after catalogue %d: %v", i, r.Payload(), last, err)
		}
		last = made
	}
	v.Release()
	closeLog(t, l)
}

func TestRouteSetsAreDefinedOnceASegment(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	wide := &segment.RouteSet{ID: 1}
	for q := range 500 {
		wide.Queues = append(wide.Queues, segment.QueueID(q+1))
	}
	other := &segment.RouteSet{ID: 2, Queues: []segment.QueueID{4, 3}}
	var b segment.Batch
	sets := map[segment.LSN]*segment.RouteSet{}
	for i := 0; len(l.Segments()) < 4; i++ {
		b.Reset()
		used := []*segment.RouteSet{wide}
		if i%3 == 0 {
			used = append(used, other)
		}
		for _, set := range used {
			b.BeginPublish(segment.PublishHead{Set: set, Keys: testKeys, BodySize: 300})
			b.AppendBody(make([]byte, 300))
			b.EndPublish()
		}
		if err := l.Append(&b, func(first segment.LSN) {
			for i, set := range used {
				sets[first+segment.LSN(i)] = set
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(l *Log) {
		t.Helper()
		definitions, publishes := 0, 0
		c := l.Cursor(0)
		defer c.Close()
		for c.Next() {
			switch c.Record().Kind() {
			case segment.KindRouteSet:
				definitions++
			case segment.KindPublish:
				publishes++
				got, err := c.Queues(nil)
				if err != nil || !slices.Equal(got, sets[c.Record().LSN()].Queues) {
					t.Fatalf("record %d went to %v: %v", c.Record().LSN(), got, err)
				}
			}
		}
		if want := 2*len(l.Segments()) - 1; publishes != len(sets) || definitions < want-1 || definitions > want+1 {
			t.Fatalf("%d publishes of %d, %d definitions in %d segments", publishes, len(sets), definitions, len(l.Segments()))
		}
	}
	check(l)
	// A cursor that starts in the middle of a segment knows the sets defined before.
	c := l.Cursor(l.Last())
	if !c.Next() {
		t.Fatal(c.Err())
	}
	if got, err := c.Queues(nil); err != nil || !slices.Equal(got, sets[l.Last()].Queues) {
		t.Fatalf("last record went to %v: %v", got, err)
	}
	c.Close()
	closeLog(t, l)
	check(openOnly(t, Config{Dir: l.cfg.Dir}))
}

func TestDurableBatchesAreSyncedUnasked(t *testing.T) {
	for _, level := range []Level{SyncDisk, SyncOS} {
		t.Run(level.String(), func(t *testing.T) {
			announced := make(chan segment.LSN, 100)
			l := openLog(t, Config{Dir: t.TempDir(), Sync: level, OnSynced: func(lsn segment.LSN) { announced <- lsn }})
			var b segment.Batch
			for range 10 {
				b.Reset()
				addPublish(&b, "x", 1)
				b.Durable = true
				if err := l.Append(&b, nil); err != nil {
					t.Fatal(err)
				}
			}
			for last := segment.LSN(0); last < 10; {
				next := <-announced
				if next <= last || next > l.Synced() {
					t.Fatalf("announced %d after %d, synced is %d", next, last, l.Synced())
				}
				last = next
			}
			if level == SyncOS && l.durable.Load() != 0 {
				t.Fatal("fdatasync at level os")
			}
			closeLog(t, l)
		})
	}
}

func TestSyncToEndsWithItsContext(t *testing.T) {
	block := make(chan struct{})
	var armed atomic.Bool
	l := openLog(t, Config{Dir: t.TempDir(), Disk: Disk{Datasync: func(file *os.File) error {
		if armed.Load() {
			<-block
		}
		return datasync(file)
	}}})
	await(t, "spares", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.mu.spares) == readySpares
	})
	appendBodies(t, l, "x")
	armed.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.SyncTo(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("sync: %v", err)
	}
	if err := l.SyncTo(t.Context(), 2); !errors.Is(err, ErrNotWritten) {
		t.Fatalf("sync of what is not written: %v", err)
	}
	armed.Store(false)
	close(block)
	if err := l.SyncTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
}

func TestFindGivesTheFirstRecordSinceATime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(Config{Dir: dir, SegmentSize: testSegmentSize})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Start(); err != nil {
			t.Fatal(err)
		}
		type point struct {
			at  time.Time
			lsn segment.LSN
		}
		var points []point
		for range 200 {
			time.Sleep(time.Second)
			points = append(points, point{time.Now(), appendBodies(t, l, strings.Repeat("x", 1000), "y")})
		}
		check := func() {
			t.Helper()
			for _, p := range points {
				for _, at := range []time.Time{p.at, p.at.Add(-time.Second + time.Nanosecond), p.at.Add(-500 * time.Millisecond)} {
					if got := l.Find(at); got != p.lsn {
						t.Fatalf("find %v gives %d, want %d", at, got, p.lsn)
					}
				}
			}
			if got := l.Find(time.Now().Add(time.Second)); got != l.Last()+1 {
				t.Fatalf("find in the future gives %d", got)
			}
			if got := l.Find(time.Time{}); got != 1 {
				t.Fatalf("find long ago gives %d", got)
			}
		}
		check()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, err = Open(Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		check()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
	verify(t, dir)
}

func TestAppendAllocatesNothing(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 4 << 20, Sync: SyncOS})
	var b segment.Batch
	body := make([]byte, 200)
	queues := []segment.QueueID{1}
	set := &segment.RouteSet{ID: 9, Queues: queues}
	applied := func(segment.LSN) {}
	run := func() {
		b.Reset()
		for range 8 {
			b.BeginPublish(segment.PublishHead{Queues: queues, Keys: testKeys, BodySize: len(body)})
			b.AppendBody(body)
			b.EndPublish()
		}
		b.BeginPublish(segment.PublishHead{Set: set, Keys: testKeys})
		b.EndPublish()
		b.Durable = true
		if err := l.Append(&b, applied); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("append allocates %v times", n)
	}
	v := l.NewView()
	lsn := segment.LSN(1)
	read := func() {
		if _, err := v.Record(lsn); err != nil {
			t.Fatal(err)
		}
		lsn++
		if lsn%100 == 0 {
			v.Release()
		}
	}
	read()
	if n := testing.AllocsPerRun(3000, read); n != 0 {
		t.Errorf("reading allocates %v times", n)
	}
	v.Release()
	closeLog(t, l)
}

func TestBarrierAndWrittenFollowAppends(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	before := l.Written()
	for i := range 3 {
		appendBodies(t, l, "x", "y")
		if got := l.Barrier(); got != segment.LSN(2*i+2) {
			t.Fatalf("barrier at %d, want %d", got, 2*i+2)
		}
		if l.Written() <= before {
			t.Fatalf("written stays at %d", before)
		}
		before = l.Written()
	}
	closeLog(t, l)
}
