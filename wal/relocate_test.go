package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// keep is a judge that lets the records for which it holds survive, in all their queues.
func keep(survives func(segment.LSN) bool) Judge {
	return func(r segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) {
		return queues, survives(r.LSN())
	}
}

func every(n segment.LSN) Judge { return keep(func(lsn segment.LSN) bool { return lsn%n == 0 }) }

// relocate replaces the files from index i to j of the log's list.
func relocate(t testing.TB, l *Log, i, j int, judge Judge) Relocated {
	t.Helper()
	awaitSealed(t, l, j+1)
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	infos := l.Segments()
	done, err := l.Relocate(t.Context(), infos[i].Base, infos[j].Last, judge, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// survivors is what of bodies, of which the first is record 1, every(n) leaves up to record last.
func survivors(bodies []string, last, n segment.LSN) []string {
	var left []string
	for i, body := range bodies {
		if lsn := segment.LSN(i + 1); lsn > last || lsn%n == 0 {
			left = append(left, body)
		}
	}
	return left
}

func TestSurvivorsKeepTheirNumbers(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	all := rotated(t, l, 5)
	awaitSealed(t, l, 4)
	before := l.Segments()
	done := relocate(t, l, 0, 2, every(5))
	last := before[2].Last
	if done.Files != 3 || done.Records != int(last) || done.Survivors != int(last)/5 || done.ReadBytes < 100000 ||
		done.WrittenBytes < segment.HeaderSize || done.WrittenBytes > done.ReadBytes/2 {
		t.Errorf("relocated %+v, last is %d", done, last)
	}
	check := func(l *Log) {
		t.Helper()
		if infos := l.Segments(); len(infos) != 3 || !infos[0].Old || !infos[0].Sealed || infos[0].Base != 1 || infos[0].Last != last ||
			infos[0].Records != int(last)/5 || infos[0].Bytes < 1000*int64(last)/5 || infos[1].Old || infos[1].Base != last+1 {
			t.Errorf("segments: %+v", infos)
		}
		if got := bodies(t, l); !slices.Equal(got, survivors(all, last, 5)) {
			t.Errorf("%d bodies left", len(got))
		}
		v := l.NewView()
		defer v.Release()
		for lsn := segment.LSN(1); lsn <= l.Last(); lsn++ {
			r, err := v.Record(lsn)
			switch {
			case lsn > last || lsn%5 == 0:
				if err != nil || r.LSN() != lsn || body(t, r) != all[lsn-1] || !r.Valid() {
					t.Fatalf("record %d: %v", lsn, err)
				}
			case !errors.Is(err, ErrGone) || errors.Is(err, segment.ErrCorrupt):
				t.Fatalf("record %d, which is gone: %v", lsn, err)
			}
		}
	}
	check(l)
	if l.First() != 1 {
		t.Errorf("first is %d", l.First())
	}
	closeLog(t, l)
	again := openOnly(t, Config{Dir: l.cfg.Dir})
	if r := again.Recovery(); !r.Clean || len(r.Quarantined) > 0 || r.First != 1 || int(r.Last) != len(all) {
		t.Errorf("recovery %+v", r)
	}
	check(again)
	report := verify(t, l.cfg.Dir)
	if report.Records != len(survivors(all, last, 5)) || !report.Segments[0].Old {
		t.Errorf("report %+v", report)
	}
}

func TestRelocatedFilesAreUsedAgain(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 4)
	await(t, "spares", func() bool { return sparesOf(l) == readySpares })
	spares, _ := filepath.Glob(filepath.Join(l.cfg.Dir, "spare-*"))
	relocate(t, l, 0, 1, every(10))
	if more, _ := filepath.Glob(filepath.Join(l.cfg.Dir, "spare-*")); len(more) != len(spares)+2 {
		t.Errorf("%d spares, %d before", len(more), len(spares))
	}
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if n := parseName(entry.Name()); n.kind == temporaryFile || n.kind == segmentKind && n.base == 1 {
			t.Errorf("%s is still there", entry.Name())
		}
	}
	closeLog(t, l)
}

func TestOldFilesAreRelocatedAgain(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	all := rotated(t, l, 6)
	relocate(t, l, 0, 1, every(2))
	relocate(t, l, 0, 0, every(4)) // alone, under the same name
	last := l.Segments()[0].Last
	if got := bodies(t, l); !slices.Equal(got, survivors(all, last, 4)) {
		t.Fatalf("%d bodies left", len(got))
	}
	relocate(t, l, 0, 2, every(8)) // with its neighbours
	last = l.Segments()[0].Last
	if got := bodies(t, l); !slices.Equal(got, survivors(all, last, 8)) {
		t.Fatalf("%d bodies left", len(got))
	}
	relocate(t, l, 1, 1, every(1<<40)) // nothing survives
	relocate(t, l, 0, 1, every(1<<40))
	infos := l.Segments()
	if len(infos) != 2 || infos[0].Records != 0 {
		t.Fatalf("segments %+v", infos)
	}
	if got := bodies(t, l); !slices.Equal(got, all[infos[0].Last:]) {
		t.Fatalf("%d bodies left", len(got))
	}
	closeLog(t, l)
	goOn(t, l.cfg.Dir, all[infos[0].Last:])
}

func TestARelocatedPublishNamesTheQueuesLeft(t *testing.T) {
	var stated segment.Batch
	stated.Append(segment.KindCatalogue, 0, 0, 7, []byte("topology"))
	catalogue := func() []*segment.Batch { return []*segment.Batch{&stated} }
	l := openLog(t, Config{Dir: t.TempDir(), Catalogue: catalogue})
	set := &segment.RouteSet{ID: 3, Queues: []segment.QueueID{30, 10, 20}}
	for len(l.Segments()) < 3 {
		var b segment.Batch
		b.BeginPublish(segment.PublishHead{
			Time: 11, VHost: 5, Flags: segment.FlagDeadLettered, Set: set, Keys: testKeys, Header: []byte("header"), BodySize: 4000,
		})
		b.AppendBody([]byte(strings.Repeat("b", 4000)))
		b.EndPublish()
		addPublish(&b, "inline", 20, 40)
		b.AppendSettle(12, 5, 10, segment.SettleAck, []segment.Range{{From: 1, To: 1}})
		b.AppendHorizon(12, 5, 10, 4)
		if err := l.Append(&b, nil); err != nil {
			t.Fatal(err)
		}
	}
	asked := map[segment.Kind]int{}
	relocate(t, l, 0, 1, func(r segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) {
		asked[r.Kind()]++
		if r.Kind() != segment.KindPublish {
			return nil, r.Kind() == segment.KindSettle
		}
		live := slices.DeleteFunc(queues, func(q segment.QueueID) bool { return q == 10 || q == 40 })
		return live, len(live) > 0
	})
	if asked[segment.KindCatalogue]+asked[segment.KindRouteSet] > 0 {
		t.Errorf("asked about %v", asked)
	}
	last, seen := l.Segments()[0].Last, map[segment.Kind]int{}
	c := l.Cursor(0)
	defer c.Close()
	for c.Next() && c.Record().LSN() <= last {
		r := c.Record()
		seen[r.Kind()]++
		if r.Kind() != segment.KindPublish {
			continue
		}
		p, err := r.Publish()
		queues, err2 := c.Queues(nil)
		want := []segment.QueueID{30, 20}
		if string(p.Body) == "inline" {
			want = []segment.QueueID{20}
		} else if len(p.Body) != 4000 || r.Time() != 11 || r.VHost() != 5 || r.Flags() != segment.FlagDeadLettered ||
			string(p.Keys) != string(testKeys) || string(p.Header) != "header" {
			t.Fatalf("record %d is another", r.LSN())
		}
		if err != nil || err2 != nil || !slices.Equal(queues, want) || !r.Valid() {
			t.Fatalf("record %d: queues %v, %v, %v", r.LSN(), queues, err, err2)
		}
	}
	if seen[segment.KindCatalogue] != 1 || seen[segment.KindRouteSet]+seen[segment.KindHorizon] != 0 ||
		seen[segment.KindSettle] != asked[segment.KindSettle] || seen[segment.KindPublish] != asked[segment.KindPublish] {
		t.Errorf("asked about %v, found %v", asked, seen)
	}
	closeLog(t, l)
}

func TestAnAbandonedRelocationChangesNothing(t *testing.T) {
	stop := errors.New("not now")
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, l *Log, f *faulty) (context.Context, Judge)
		ready   error
		want    error
	}{
		{"refused by ready", nil, stop, stop},
		{"context ended", func(t *testing.T, _ *Log, _ *faulty) (context.Context, Judge) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, nil
		}, nil, context.Canceled},
		{"context ended on the way", func(t *testing.T, l *Log, _ *faulty) (context.Context, Judge) {
			l.pace.perSecond = 1
			ctx, cancel := context.WithCancel(t.Context())
			return ctx, keep(func(lsn segment.LSN) bool { cancel(); return true })
		}, nil, context.Canceled},
		{"write fails", func(_ *testing.T, _ *Log, f *faulty) (context.Context, Judge) {
			return nil, keep(func(lsn segment.LSN) bool { fail(&f.write, errDisk); return true })
		}, nil, errDisk},
		{"disk is full", func(_ *testing.T, _ *Log, f *faulty) (context.Context, Judge) {
			return nil, keep(func(lsn segment.LSN) bool { fail(&f.write, error(unix.ENOSPC)); return true })
		}, nil, unix.ENOSPC},
		{"sync fails", func(_ *testing.T, _ *Log, f *faulty) (context.Context, Judge) {
			return nil, keep(func(lsn segment.LSN) bool { fail(&f.sync, errDisk); return true })
		}, nil, errDisk},
		{"damage", func(t *testing.T, l *Log, _ *faulty) (context.Context, Judge) {
			path := l.Segments()[1].Path
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if _, err := file.WriteAt([]byte{0xEE}, 30000); err != nil {
				t.Fatal(err)
			}
			return nil, nil
		}, nil, segment.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f faulty
			l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk()})
			all := rotated(t, l, 4)
			awaitSealed(t, l, 3)
			if err := l.SyncTo(t.Context(), l.Last()); err != nil {
				t.Fatal(err)
			}
			await(t, "spares", func() bool { return sparesOf(l) == readySpares })
			before := l.Segments()
			ctx, judge := t.Context(), every(7)
			if c.prepare != nil {
				other, j := c.prepare(t, l, &f)
				if j != nil {
					judge = j
				}
				if other != nil {
					ctx = other
				}
			}
			_, err := l.Relocate(ctx, 1, before[1].Last, judge, func() error { return c.ready })
			f.write.Store(nil)
			f.sync.Store(nil)
			if !errors.Is(err, c.want) {
				t.Fatalf("relocate: %v", err)
			}
			if !slices.Equal(l.Segments(), before) {
				t.Fatal("segments changed")
			}
			if left, _ := filepath.Glob(filepath.Join(l.cfg.Dir, "*.old*")); len(left) > 0 {
				t.Fatalf("left behind: %v", left)
			}
			appendBodies(t, l, "the log goes on")
			if c.want == segment.ErrCorrupt {
				return
			}
			if got := bodies(t, l); len(got) != len(all)+1 {
				t.Fatalf("%d of %d records", len(got), len(all)+1)
			}
			closeLog(t, l)
		})
	}
}

func TestOnlyWholeSealedFilesAreRelocated(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 4)
	awaitSealed(t, l, 3)
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	infos := l.Segments()
	for _, c := range [][2]segment.LSN{
		{1, infos[0].Last - 1},
		{2, infos[0].Last},
		{1, infos[3].Last}, // active
		{infos[3].Base, infos[3].Last},
		{1, infos[2].Last + 1},
		{0, infos[0].Last},
		{l.Last() + 1, l.Last() + 9},
	} {
		if _, err := l.Relocate(t.Context(), c[0], c[1], every(1), func() error { return nil }); err == nil {
			t.Errorf("records %d to %d were relocated", c[0], c[1])
		}
	}
	if err := l.Retire(infos[1].Base); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Relocate(t.Context(), 1, infos[0].Last, every(1), func() error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("retired records: %v", err)
	}
	_, err := l.Relocate(t.Context(), infos[1].Base, infos[1].Last, every(1), func() error { return l.Retire(infos[2].Base) })
	if !errors.Is(err, ErrGone) {
		t.Errorf("records retired on the way: %v", err)
	}
	closeLog(t, l)
	if _, err := l.Relocate(t.Context(), infos[2].Base, infos[2].Last, every(1), func() error { return nil }); err == nil {
		t.Error("a closed log relocates")
	}
}

func TestOldFilesAreRetired(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 5)
	relocate(t, l, 0, 1, every(3))
	relocate(t, l, 1, 2, every(3))
	infos := l.Segments()
	v := l.NewView()
	held, err := v.Record(3)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Retire(infos[1].Last); err != nil {
		t.Fatal(err)
	}
	if got := l.Segments(); len(got) != 2 || got[0].Base != infos[1].Base {
		t.Fatalf("segments %+v", got)
	}
	if _, err := os.Stat(infos[0].Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("retired file: %v", err)
	}
	if held.LSN() != 3 || !held.Valid() {
		t.Error("record changed under its reader")
	}
	v.Release()
	closeLog(t, l)
}

func TestFindKnowsOldFiles(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	var times []int64 // of record i+1
	for len(l.Segments()) < 4 {
		appendBodies(t, l, strings.Repeat("x", 3000))
		l.mu.Lock()
		times = append(times, l.mu.timeMs)
		l.mu.timeMs += 10
		l.mu.Unlock()
	}
	relocate(t, l, 0, 1, every(3))
	last := l.Segments()[0].Last
	for i, ms := range times {
		want := segment.LSN(i + 1)
		if want <= last {
			want = min((want+2)/3*3, last+1)
		}
		if got := l.Find(time.UnixMilli(ms)); got != want {
			t.Fatalf("time of record %d: found %d, want %d", i+1, got, want)
		}
	}
	closeLog(t, l)
}

func TestAViewBoundsTheBlocksItHolds(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	for i := 0; len(l.Segments()) < 8; i++ {
		appendBodies(t, l, fmt.Sprintf("%06d %s", i, strings.Repeat("x", 10000)))
	}
	relocate(t, l, 0, 6, every(1))
	footer := &l.list()[0].old.head
	if footer.Blocks() < 2*viewBlocks {
		t.Fatalf("%d blocks", footer.Blocks())
	}
	v := l.NewView()
	var given []segment.Record
	for i := range footer.Blocks() {
		for _, lsn := range []segment.LSN{footer.Block(i).First, footer.Block(i).First + 1} {
			r, err := v.Record(lsn)
			if err != nil {
				t.Fatal(err)
			}
			given = append(given, r)
		}
	}
	shared := 0
	for i, r := range given {
		if r.LSN() != footer.Block(i/2).First+segment.LSN(i%2) || !r.Valid() {
			t.Fatalf("record %d is wrong", i)
		}
		if cap(r) == len(r) {
			raw, err := l.cache.block(l.list()[0], footer.Block(i/2))
			if err != nil {
				t.Fatal(err)
			}
			if at := footer.Record(footer.Seek(r.LSN())); &raw[at.Place] == &r[0] {
				shared++
			}
		}
	}
	if shared != 2*viewBlocks {
		t.Errorf("%d records are cut from blocks, want %d", shared, 2*viewBlocks)
	}
	v.Release()
	closeLog(t, l)
}

func TestTheBlockCacheIsBounded(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 8 << 20})
	for i := 0; len(l.Segments()) < 5; i++ {
		appendBodies(t, l, strings.Repeat("y", 100000))
	}
	relocate(t, l, 0, 3, every(1))
	if got := bodies(t, l); len(got) != int(l.Last()) {
		t.Fatalf("%d of %d records", len(got), l.Last())
	}
	c := l.cache
	if c.mu.bytes > cachedBytes || c.mu.bytes < cachedBytes/2 || len(c.mu.blocks) != c.mu.used.Len() {
		t.Errorf("%d bytes in %d and %d blocks", c.mu.bytes, len(c.mu.blocks), c.mu.used.Len())
	}
	if err := l.Retire(l.Last()); err != nil {
		t.Fatal(err)
	}
	if c.mu.bytes != 0 || len(c.mu.blocks) != 0 {
		t.Errorf("%d bytes of a file that is gone", c.mu.bytes)
	}
	closeLog(t, l)
}

// TestReadersAndRelocationAtOnce has views and a cursor read while what they read is relocated, over and over, and
// its files are used again.
func TestReadersAndRelocationAtOnce(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for seed := range uint64(3) {
		readers.Go(func() {
			chance := rand.New(rand.NewPCG(seed, 7))
			v := l.NewView()
			for ctx.Err() == nil {
				for range 20 {
					last := l.Last()
					if last == 0 {
						continue
					}
					lsn := 1 + segment.LSN(chance.Uint64N(uint64(last)))
					r, err := v.Record(lsn)
					if err != nil {
						if !errors.Is(err, ErrGone) || lsn%60 == 0 {
							t.Errorf("record %d: %v", lsn, err)
						}
						continue
					}
					if p, err := r.Publish(); err != nil || r.LSN() != lsn || !strings.HasPrefix(string(p.Body), fmt.Sprintf("%06d ", lsn-1)) {
						t.Errorf("record %d is another: %v", lsn, err)
					}
				}
				v.Release()
			}
		})
	}
	readers.Go(func() {
		for ctx.Err() == nil {
			c := l.Cursor(1)
			next := segment.LSN(60)
			for c.Next() && ctx.Err() == nil {
				if lsn := c.Record().LSN(); lsn > next {
					t.Errorf("record %d was passed over", next)
				} else if lsn == next {
					next += 60
				}
			}
			if c.Err() != nil {
				t.Error(c.Err())
			}
			c.Close()
		}
	})
	number := 0
	for round := range 6 {
		for len(l.Segments()) < 5 {
			appendBodies(t, l, fmt.Sprintf("%06d %s", number, strings.Repeat("x", 1000)))
			number++
		}
		awaitSealed(t, l, 4)
		relocate(t, l, 0, 2, every([]segment.LSN{2, 3, 4, 5, 6, 10}[round]))
	}
	cancel()
	readers.Wait()
	closeLog(t, l)
}
