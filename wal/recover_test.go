package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// crashed returns the directory of a log with three batches of two records each, all in one segment
// without footer, and where the batches begin. Everything up to synced was synced before the last
// batch was written, so its header says so.
func crashed(t testing.TB, synced segment.LSN) (dir, path string, offsets []int, end int) {
	t.Helper()
	l := openLog(t, Config{Dir: t.TempDir()})
	for i := range 3 {
		if synced > 0 && l.Last() >= synced && l.Synced() < synced {
			if err := l.SyncTo(t.Context(), synced); err != nil {
				t.Fatal(err)
			}
		}
		appendBodies(t, l, fmt.Sprintf("first of %d", i), fmt.Sprintf("second of %d", i))
	}
	dir = clone(t, l.cfg.Dir)
	path = segmentPaths(t, dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	offsets, headers := batches(t, data)
	return dir, path, offsets, offsets[2] + headers[2].Length
}

var allBodies = []string{"first of 0", "second of 0", "first of 1", "second of 1", "first of 2", "second of 2"}

// goOn starts the log found in dir, appends to it, and checks that it is whole after a restart.
func goOn(t *testing.T, dir string, want []string) {
	t.Helper()
	l := openLog(t, Config{Dir: dir})
	last := l.Recovery().Last
	if lsn := appendBodies(t, l, "after"); lsn != last+1 {
		t.Fatalf("first record after recovery is %d, last was %d", lsn, last)
	}
	want = append(slices.Clone(want), "after")
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatalf("log has %q, want %q", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openOnly(t, Config{Dir: dir})
	if r := l.Recovery(); !r.Clean || r.Last != last+1 {
		t.Fatalf("recovery after close: %+v", r)
	}
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatalf("reopened log has %q, want %q", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEmptyDirectoryIsAnEmptyLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	l := openOnly(t, Config{Dir: dir})
	if r := l.Recovery(); !r.Clean || r.Last != 0 || l.First() != 1 {
		t.Fatalf("recovery %+v, first %d", r, l.First())
	}
	if got := bodies(t, l); len(got) != 0 {
		t.Fatalf("empty log has %q", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	goOn(t, dir, nil)
	verify(t, dir)
}

func TestHeaderOnlySegmentIsTakenOver(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	dir := clone(t, l.cfg.Dir)
	again := openOnly(t, Config{Dir: dir})
	if r := again.Recovery(); r.Clean || r.Last != 0 || len(r.Beyond) != 0 {
		t.Fatalf("recovery %+v", r)
	}
	again.Close()
	goOn(t, dir, nil)
	verify(t, dir)
}

func TestLogClosedEmptyIsCleanAndKeepsItsNumber(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	appendBodies(t, l, "one")
	closeLog(t, l)
	for range 3 {
		l = openLog(t, Config{Dir: l.cfg.Dir})
		if r := l.Recovery(); !r.Clean || r.Last != 1 {
			t.Fatalf("recovery %+v", r)
		}
		closeLog(t, l)
	}
	goOn(t, l.cfg.Dir, []string{"one"})
}

func TestHalfWrittenHeaderMeansNothingWasWritten(t *testing.T) {
	header := segment.AppendHeader(nil, segment.Header{Epoch: 99 << 32, Base: 7, FileSize: testSegmentSize})
	for name, file := range map[string][]byte{
		"no byte":         {},
		"zeros":           make([]byte, testSegmentSize),
		"short of a page": header[:100],
		"magic alone":     append(bytes.Clone(header[:8]), make([]byte, testSegmentSize-8)...),
		"half a header":   append(bytes.Clone(header[:60]), make([]byte, testSegmentSize-60)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, _, _ := crashed(t, 0)
			if err := os.WriteFile(filepath.Join(dir, segmentName(7)), file, 0o640); err != nil {
				t.Fatal(err)
			}
			goOn(t, dir, allBodies)
			verify(t, dir)
		})
	}
}

func TestTornTailAtAnyByteEndsBeforeItsBatch(t *testing.T) {
	_, path, offsets, end := crashed(t, 0)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for cut := offsets[2]; cut < end; cut++ {
		dir := t.TempDir()
		torn := bytes.Clone(data)
		clear(torn[cut:])
		if bytes.Equal(torn, data) {
			continue // the last bytes are padding
		}
		cuts++
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), torn, 0o640); err != nil {
			t.Fatal(err)
		}
		l := openOnly(t, Config{Dir: dir})
		r := l.Recovery()
		if r.Last != 4 || r.Clean || len(r.Quarantined) != 0 || cut >= offsets[2]+24 && r.Dropped == 0 {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if cut%16 != 0 {
			continue
		}
		goOn(t, dir, allBodies[:4])
		verify(t, dir)
		after, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Dropped > 0 && !bytes.Equal(after[:len(torn)], torn) {
			t.Fatalf("cut at %d: torn tail was overwritten", cut)
		}
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", cuts, cuts, 4*cuts)
}

func TestTornFileAtAnyLength(t *testing.T) {
	_, path, offsets, end := crashed(t, 0)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for size := offsets[2]; size < end-8; size += 5 {
		cuts++
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data[:size], 0o640); err != nil {
			t.Fatal(err)
		}
		goOn(t, dir, allBodies[:4])
		verify(t, dir)
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", cuts, cuts, 4*cuts)
}

func TestTailRule(t *testing.T) {
	const none = segment.LSN(0)
	cases := []struct {
		name        string
		synced      segment.LSN // watermark in the last batch
		damage      func(offsets []int) int
		last        segment.LSN
		quarantined segment.LSN // the one record lost
		want        []string
	}{
		{
			"nothing synced, second batch bad: the log ends", 0,
			func(o []int) int { return o[1] + segment.BatchHeaderSize + 40 }, 2, none, allBodies[:2],
		},
		{
			"synced past it, a record bad: the record is quarantined", 4,
			func(o []int) int { return o[1] + segment.BatchHeaderSize + 40 }, 6, 3, slices.Delete(slices.Clone(allBodies), 2, 3),
		},
		{
			"synced past it, a record's length bad: the record is quarantined", 4,
			func(o []int) int { return o[1] + segment.BatchHeaderSize }, 6, 3, slices.Delete(slices.Clone(allBodies), 2, 3),
		},
		{
			"synced past it, the batch's header bad: no record is lost", 4,
			func(o []int) int { return o[1] + 20 }, 6, none, allBodies,
		},
		{
			"synced up to the first batch, second bad: the log ends", 2,
			func(o []int) int { return o[1] + 20 }, 2, none, allBodies[:2],
		},
		{
			"last batch bad: the log ends before it", 4,
			func(o []int) int { return o[2] + segment.BatchHeaderSize + 50 }, 4, none, allBodies[:4],
		},
		{
			"first record of all bad, synced", 4,
			func(o []int) int { return o[0] + segment.BatchHeaderSize + 50 }, 6, 1, allBodies[1:],
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, path, offsets, _ := crashed(t, c.synced)
			edit(t, path, flip(c.damage(offsets)))
			l := openOnly(t, Config{Dir: dir})
			r := l.Recovery()
			if r.Last != c.last {
				t.Fatalf("recovery %+v", r)
			}
			var lost []segment.LSN
			for _, q := range r.Quarantined {
				for lsn := q.From; lsn <= q.To; lsn++ {
					lost = append(lost, lsn)
				}
				if q.Path != path || q.Offset == 0 {
					t.Errorf("no coordinates: %v", q)
				}
			}
			if c.quarantined == none && len(lost) > 0 || c.quarantined != none && !slices.Equal(lost, []segment.LSN{c.quarantined}) {
				t.Fatalf("quarantined %v", r.Quarantined)
			}
			if c.quarantined != none {
				v := l.NewView()
				if _, err := v.Record(c.quarantined); !errors.Is(err, segment.ErrCorrupt) {
					t.Fatalf("quarantined record gives %v", err)
				}
				v.Release()
			}
			l.Close()
			goOn(t, dir, c.want)
		})
	}
}

// rotated fills segments with batches of one record until there are n, and returns what it wrote.
func rotated(t testing.TB, l *Log, n int) []string {
	t.Helper()
	var all []string
	for i := 0; len(l.Segments()) < n; i++ {
		text := fmt.Sprintf("%06d %s", i, strings.Repeat("x", 1000))
		appendBodies(t, l, text)
		all = append(all, text)
	}
	return all
}

func TestMissingFootersAreRebuilt(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 4)
	closeLog(t, l)
	for _, path := range segmentPaths(t, l.cfg.Dir) {
		edit(t, path, unseal)
	}
	goOn(t, l.cfg.Dir, want)
	verify(t, l.cfg.Dir)
	again := openOnly(t, Config{Dir: l.cfg.Dir})
	for _, info := range again.Segments() {
		if !info.Sealed {
			t.Errorf("%s has no footer yet", info.Path)
		}
	}
}

func TestCrashBetweenSealAndNextSegment(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 3)
	await(t, "two sealed segments", func() bool { return l.Segments()[1].Sealed })
	dir := clone(t, l.cfg.Dir)
	paths := segmentPaths(t, dir)
	if err := os.Remove(paths[2]); err != nil {
		t.Fatal(err)
	}
	last := l.Segments()[1].Last
	again := openOnly(t, Config{Dir: dir})
	if r := again.Recovery(); r.Clean || r.Last != last {
		t.Fatalf("recovery %+v, want last %d", r, last)
	}
	again.Close()
	goOn(t, dir, want[:last])
	verify(t, dir)
}

func TestSegmentsBeyondTheEndAreSetAside(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), Sync: SyncOS})
	want := rotated(t, l, 4)
	closeLog(t, l)
	dir := l.cfg.Dir
	paths := segmentPaths(t, dir)
	// A power cut: no footer, no watermark, and a hole in the second segment.
	var first segment.LSN
	for i, path := range paths {
		edit(t, path, unseal)
		edit(t, path, func(data []byte) []byte { return withoutWatermarks(t, data) })
		if i == 1 {
			edit(t, path, func(data []byte) []byte {
				offsets, headers := batches(t, data)
				first = headers[3].First
				clear(data[offsets[3] : offsets[3]+200])
				return data
			})
		}
	}
	again := openOnly(t, Config{Dir: dir})
	if r := again.Recovery(); r.Last != first-1 || len(r.Beyond) != 2 || len(r.Quarantined) != 0 {
		t.Fatalf("recovery %+v, want last %d", r, first-1)
	}
	again.Close()
	goOn(t, dir, want[:first-1])
	verify(t, dir)
	aside, err := filepath.Glob(filepath.Join(dir, "*"+droppedMark+"*"))
	if err != nil || len(aside) != 2 {
		t.Fatalf("set aside: %v, %v", aside, err)
	}
}

// withoutWatermarks rewrites the batches as if nothing had been synced when they were written.
func withoutWatermarks(t testing.TB, data []byte) []byte {
	t.Helper()
	offsets, headers := batches(t, data)
	for i, at := range offsets {
		view, err := segment.ParseBatch(data, at, headers[i].Epoch)
		if err != nil {
			t.Fatal(err)
		}
		var b segment.Batch
		for _, r := range view.Records() {
			p, err := r.Publish()
			if err != nil {
				t.Fatal(err)
			}
			addPublish(&b, string(p.Body), 1)
		}
		copy(data[at:], b.Seal(headers[i].First, headers[i].Epoch, headers[i].Time, 0))
	}
	return data
}

func TestFirstBatchTornKeepsItsBytesAside(t *testing.T) {
	dir, path, offsets, _ := crashed(t, 0)
	edit(t, path, func(data []byte) []byte {
		clear(data[offsets[0]+100:])
		return data
	})
	torn, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	goOn(t, dir, nil)
	verify(t, dir)
	aside, err := filepath.Glob(filepath.Join(dir, "*"+droppedMark+"*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: %v, %v", aside, err)
	}
	kept, err := os.ReadFile(aside[0])
	if err != nil || !bytes.Equal(kept, torn) {
		t.Fatalf("torn bytes changed: %v", err)
	}
}

func TestDamagedHeaderCostsNoRecord(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) {
			l := openLog(t, Config{Dir: t.TempDir()})
			want := rotated(t, l, 3)
			closeLog(t, l)
			for _, path := range segmentPaths(t, l.cfg.Dir)[1:] {
				edit(t, path, flip(45))
				if !sealed {
					edit(t, path, unseal)
				}
			}
			again := openOnly(t, Config{Dir: l.cfg.Dir})
			if r := again.Recovery(); len(r.Quarantined) != 2 || r.Last != segment.LSN(len(want)) {
				t.Fatalf("recovery %+v", r)
			}
			if got := bodies(t, again); !slices.Equal(got, want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
			again.Close()
			if report, err := Verify(l.cfg.Dir); err != nil || len(report.Faults) != 2 {
				t.Fatalf("verify: %v %v", report.Faults, err)
			}
			closeLog(t, openLog(t, Config{Dir: l.cfg.Dir}))
			verify(t, l.cfg.Dir)
			if got := bodies(t, openOnly(t, Config{Dir: l.cfg.Dir})); !slices.Equal(got, want) {
				t.Fatalf("%d records after the repair, want %d", len(got), len(want))
			}
		})
	}
}

// A file of a former use under the name of another, say: its batches are sound and are not of this place.
func TestDamagedHeaderThatDoesNotFollowFromTheRestIsRefused(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	closeLog(t, l)
	paths := segmentPaths(t, l.cfg.Dir)
	edit(t, paths[0], func(data []byte) []byte { return reepoch(t, data, 1<<60) })
	edit(t, paths[0], flip(45))
	if _, err := Open(Config{Dir: l.cfg.Dir}); err == nil || !strings.Contains(err.Error(), "--repair") {
		t.Fatalf("error %v", err)
	}
	openOnly(t, Config{Dir: l.cfg.Dir, Repair: true})
}

// reepoch makes one batch of one record the whole contents of a segment, of another epoch.
func reepoch(t testing.TB, data []byte, epoch uint64) []byte {
	t.Helper()
	h, err := segment.ParseHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	h.Epoch = epoch
	clear(data)
	copy(data, segment.AppendHeader(nil, h))
	var b segment.Batch
	addPublish(&b, "of another time", 1)
	copy(data[segment.HeaderSize:], b.Seal(h.Base, epoch, 1, 0))
	return data
}

func TestMissingSegmentIsReportedAndTheRestKept(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 4)
	closeLog(t, l)
	gone := l.segmentsOf(t, 1)
	if err := os.Remove(gone.Path); err != nil {
		t.Fatal(err)
	}
	again := openOnly(t, Config{Dir: l.cfg.Dir})
	r := again.Recovery()
	if len(r.Quarantined) != 1 || r.Quarantined[0].From != gone.Base || r.Quarantined[0].To != gone.Last {
		t.Fatalf("recovery %+v, missing %+v", r, gone)
	}
	v := again.NewView()
	defer v.Release()
	if _, err := v.Record(gone.Base); !errors.Is(err, segment.ErrCorrupt) {
		t.Fatalf("record of the missing segment: %v", err)
	}
	if got := bodies(t, again); !slices.Equal(got, slices.Delete(slices.Clone(want), int(gone.Base-1), int(gone.Last))) {
		t.Fatalf("%d records of %d", len(got), len(want))
	}
}

// segmentsOf reads the i-th segment's description from the closed log's directory.
func (l *Log) segmentsOf(t testing.TB, i int) SegmentInfo {
	t.Helper()
	report := verify(t, l.cfg.Dir)
	return report.Segments[i]
}

func TestCorruptionInASealedSegmentIsFoundWhenRead(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 3)
	closeLog(t, l)
	path := segmentPaths(t, l.cfg.Dir)[0]
	edit(t, path, func(data []byte) []byte {
		offsets, _ := batches(t, data)
		return flip(offsets[5] + segment.BatchHeaderSize + 100)(data)
	})
	again := openOnly(t, Config{Dir: l.cfg.Dir})
	v := again.NewView()
	defer v.Release()
	var damage *segment.CorruptError
	if _, err := v.Record(6); !errors.As(err, &damage) || damage.LSN != 6 || damage.Offset == 0 {
		t.Fatalf("damaged record gives %v", err)
	}
	c := again.Cursor(0)
	defer c.Close()
	n := 0
	for c.Next() {
		n++
	}
	if n != len(want)-1 || c.Skipped() != 1 || c.Err() != nil {
		t.Fatalf("cursor gave %d of %d, skipped %d: %v", n, len(want), c.Skipped(), c.Err())
	}
	report, err := Verify(l.cfg.Dir)
	if err != nil || len(report.Faults) != 1 || report.Segments[0].Lost != 1 {
		t.Fatalf("verify: %+v %v", report, err)
	}
}

func TestFutureVersionStopsOpenInOneLine(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	appendBodies(t, l, "one")
	closeLog(t, l)
	path := segmentPaths(t, l.cfg.Dir)[0]
	before := editVersion(t, path)
	_, err := Open(Config{Dir: l.cfg.Dir})
	if !errors.Is(err, segment.ErrVersion) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
		t.Fatalf("open: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("file was changed: %v", err)
	}
}

// editVersion makes a segment one of version 9, its checksum right.
func editVersion(t *testing.T, path string) []byte {
	t.Helper()
	var out []byte
	edit(t, path, func(data []byte) []byte {
		data[8] = 9
		table := crc32.MakeTable(crc32.Castagnoli)
		crc := crc32.Update(crc32.Checksum(data[:16], table), table, data[20:segment.HeaderSize])
		binary.LittleEndian.PutUint32(data[16:], crc)
		out = data
		return out
	})
	return out
}

func TestOtherShardIsRefused(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), Shard: 1})
	appendBodies(t, l, "one")
	closeLog(t, l)
	if _, err := Open(Config{Dir: l.cfg.Dir, Shard: 2}); err == nil || !strings.Contains(err.Error(), "shard 1, not 2") {
		t.Fatalf("open: %v", err)
	}
}

func TestDirectoryHasOneLogAtATime(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	if _, err := Open(Config{Dir: l.cfg.Dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second open: %v", err)
	}
	closeLog(t, l)
	openOnly(t, Config{Dir: l.cfg.Dir})
}

func TestUnknownFilesAreLeftAloneAndLogged(t *testing.T) {
	dir := t.TempDir()
	names := []string{"notes.txt", "1.seg", "spare-x.seg", "spare-01.seg", "00000000000000000000.seg", "000000000000000000001.seg"}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	l := openLog(t, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	appendBodies(t, l, "one")
	closeLog(t, l)
	for _, name := range names {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != name {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if !strings.Contains(out.String(), "file="+name) {
			t.Errorf("%s was not logged", name)
		}
	}
}

func TestSparesOfAnEarlierRunAreUsed(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	await(t, "two spares", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.mu.spares) == readySpares
	})
	closeLog(t, l)
	made := 0
	cfg := Config{Dir: l.cfg.Dir, Disk: Disk{Allocate: func(file *os.File, size int64, rest func(int64) error) error {
		made++
		return allocate(file, size, rest)
	}}}
	l = openLog(t, cfg)
	appendBodies(t, l, "one")
	closeLog(t, l)
	if made > 1 {
		t.Fatalf("%d files made although two spares were there", made)
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	err := Config{SegmentSize: 5000, Sync: 7, Shard: anyShard}.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, part := range []string{"directory", "segment size", "sync level", "shard"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
}

// A power cut may leave the first batch of a new segment and not the header that was written before it: none of it
// was synced, so it is no damage.
func TestHeaderThatDidNotReachTheDiskIsWrittenAnew(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 2)
	paths := segmentPaths(t, l.cfg.Dir)
	newest := paths[len(paths)-1]
	dir := clone(t, l.cfg.Dir)
	edit(t, filepath.Join(dir, filepath.Base(newest)), func(data []byte) []byte {
		clear(data[:segment.HeaderSize])
		return data
	})
	after := openOnly(t, Config{Dir: dir})
	if r := after.Recovery(); len(r.Quarantined) > 0 || r.Last != segment.LSN(len(want)) {
		t.Fatalf("recovery %+v", r)
	}
	after.Close()
	closeLog(t, openLog(t, Config{Dir: dir}))
}
