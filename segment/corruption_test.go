package segment

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// threeBatches is a segment of seven records, from 1 on, and where its batches begin.
func threeBatches(t testing.TB) (file []byte, starts []int, end int) {
	file = fileOf(t, 6144, 1, batchOf("one", "two two"), batchOf("three"), batchOf("four", "five is longer", "six", ""))
	at := HeaderSize
	for range 3 {
		starts = append(starts, at)
		b, err := ParseBatch(file, at, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		at += b.Length
	}
	return file, starts, at
}

func original(t testing.TB, file []byte) map[LSN][]byte {
	t.Helper()
	records := map[LSN][]byte{}
	s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 1})
	for i, place := range s.Places {
		r, err := RecordAt(file, int(place)<<3)
		if err != nil {
			t.Fatal(err)
		}
		records[LSN(i+1)] = bytes.Clone(r)
	}
	return records
}

// checkKept fails when a scan keeps anything but what was written.
func checkKept(t *testing.T, file []byte, s *Scan, want map[LSN][]byte) (lost int) {
	t.Helper()
	if len(s.Places) != s.Count() {
		t.Fatalf("%d places for %d records", len(s.Places), s.Count())
	}
	for i, place := range s.Places {
		lsn := s.First + LSN(i)
		if place == 0 {
			lost++
			continue
		}
		r, err := RecordAt(file, int(place)<<3)
		if err != nil || !bytes.Equal(r, want[lsn]) {
			t.Fatalf("record %d is %x (%v), was %x", lsn, []byte(r), err, want[lsn])
		}
	}
	return lost
}

func TestAnyFlippedByteCostsAtMostItsRecord(t *testing.T) {
	file, _, end := threeBatches(t)
	want := original(t, file)
	for at := HeaderSize; at < end; at++ {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			damaged := bytes.Clone(file)
			damaged[at] ^= flip
			s := ScanFile(damaged, ScanConfig{Epoch: testEpoch, First: 1, Before: 8})
			lost := checkKept(t, damaged, s, want)
			missing := 7 - s.Count() // lost behind the last record found
			if lost+missing > 1 {
				t.Fatalf("byte %d ^ %#x: lost %d, missing %d: %+v", at, flip, lost, missing, s.Damages)
			}
			if lost+missing > 0 && len(s.Damages) == 0 {
				t.Fatalf("byte %d ^ %#x: loss not reported", at, flip)
			}
		}
	}
	flips := 3 * (end - HeaderSize)
	t.Logf("crash: 1 rounds, 0 cut points, %d faults, %d looked for, 0 lost", flips, 7*flips)
}

func TestAFlippedByteInAWholeLogNeverPassesForData(t *testing.T) {
	file, _, end := threeBatches(t)
	padding := paddingOf(t, file)
	for at := HeaderSize; at < end; at++ {
		damaged := bytes.Clone(file)
		damaged[at] ^= 0x10
		s := ScanFile(damaged, ScanConfig{Epoch: testEpoch, First: 1, Before: 8})
		if len(s.Damages) == 0 && !padding[at] {
			t.Fatalf("flip of byte %d was not noticed", at)
		}
	}
}

// paddingOf marks the bytes that no checksum covers.
func paddingOf(t *testing.T, file []byte) map[int]bool {
	t.Helper()
	padding := map[int]bool{}
	s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 1})
	for _, place := range s.Places {
		r, err := RecordAt(file, int(place)<<3)
		if err != nil {
			t.Fatal(err)
		}
		for at := len(r); at < align(len(r)); at++ {
			padding[int(place)<<3+at] = true
		}
	}
	return padding
}

func TestTornTailEndsBeforeTheTornBatch(t *testing.T) {
	file, starts, end := threeBatches(t)
	want := original(t, file)
	fills := map[string]func(at int) byte{
		"zeros":   func(int) byte { return 0 },
		"ones":    func(int) byte { return 0xFF },
		"garbage": func(at int) byte { return byte(at*7 + at>>3) },
	}
	for name, fill := range fills {
		for cut := HeaderSize; cut <= end; cut++ {
			torn := bytes.Clone(file)
			for at := cut; at < len(torn); at++ {
				torn[at] = fill(at)
			}
			s := ScanFile(torn, ScanConfig{Epoch: testEpoch, First: 1})
			s.Cut(0)
			last, dataEnd := LSN(0), HeaderSize
			for i, start := range append(starts[1:], end) {
				// Padding that was cut may be whole by chance or by zeros.
				if start <= cut || bytes.Equal(torn[:start], file[:start]) || start-cut < 8 && s.End == int64(start) {
					last, dataEnd = []LSN{2, 3, 7}[i], start
				}
			}
			if s.Last != last || s.End != int64(dataEnd) {
				t.Fatalf("%s from %d: scan ends with record %d at %d, want %d at %d", name, cut, s.Last, s.End, last, dataEnd)
			}
			if lost := checkKept(t, torn, s, want); lost > 0 {
				t.Fatalf("%s from %d: lost %d", name, cut, lost)
			}
		}
	}
}

func TestStaleBytesOfAFormerUseAreNotData(t *testing.T) {
	former, _, _ := threeBatches(t)
	file := bytes.Clone(former)
	var b Batch
	publish(&b, "new", 1)
	copy(file, AppendHeader(nil, Header{Epoch: testEpoch + 1<<32, Base: 1}))
	copy(file[HeaderSize:], b.Seal(1, testEpoch+1<<32, 5000, 0))
	s := ScanFile(file, ScanConfig{Epoch: testEpoch + 1<<32, First: 1})
	if s.Last != 1 || len(s.Damages) != 0 || s.Torn != 0 {
		t.Fatalf("scan took stale bytes: %+v", s)
	}
}

func TestABodyThatLooksLikeABatchIsNotOne(t *testing.T) {
	var forged Batch
	publish(&forged, "forged", 1)
	// The forger knows the record number but not the epoch.
	body := bytes.Clone(forged.Seal(2, testEpoch+1, 5000, 99))
	var b Batch
	publish(&b, string(body), 1)
	file := fileOf(t, 8192, 1, &b)
	file[HeaderSize+batchFirst] ^= 1 // damage, so that the scan looks for batches
	s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 1})
	if s.Synced != 0 {
		t.Fatalf("watermark %d came from a body", s.Synced)
	}
}

func TestCutFollowsTheWatermark(t *testing.T) {
	file, starts, _ := threeBatches(t)
	file[starts[1]+BatchHeaderSize+recordTime] ^= 1 // record 3
	cases := []struct {
		synced  LSN
		cut     bool
		last    LSN
		damages int
	}{
		{synced: 0, cut: true, last: 2},
		{synced: 2, cut: true, last: 2},
		{synced: 3, last: 7, damages: 1},
		{synced: 7, last: 7, damages: 1},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint("synced ", c.synced), func(t *testing.T) {
			s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 1})
			if cut := s.Cut(c.synced); cut != c.cut || s.Last != c.last || len(s.Damages) != c.damages {
				t.Fatalf("cut %v, scan %+v", cut, s)
			}
			if len(s.Places) != s.Count() {
				t.Fatalf("%d places, %d records", len(s.Places), s.Count())
			}
		})
	}
}

func TestFlippedFooterByteIsNoticed(t *testing.T) {
	file := everyKind(t)
	f, err := ParseFooter(file, testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	start := len(file) - int(FooterSize(f.Count(), f.SetCount()))
	unused := len(file) - TrailerSize + trailerSelf + 4
	for at := start; at < unused; at++ {
		damaged := bytes.Clone(file)
		damaged[at] ^= 0x20
		if err := checkedFooter(damaged); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("flip of byte %d: %v", at, err)
		}
	}
}

// checkedFooter parses a footer and checks its tables.
func checkedFooter(file []byte) error {
	f, err := ParseFooter(file, testEpoch)
	if err == nil {
		err = f.Check()
	}
	return err
}

// A start of the log reads heads of footers only: it must not depend on how many records there are.
func TestParsingAFooterReadsNoTable(t *testing.T) {
	file := everyKind(t)
	f, err := ParseFooter(file, testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(file)
	tables := damaged[len(file)-int(FooterSize(f.Count(), f.SetCount()))+footerHead : len(file)-TrailerSize]
	clear(tables)
	g, err := ParseFooter(damaged, testEpoch)
	if err != nil || g.Summary != f.Summary || g.SetCount() != f.SetCount() {
		t.Fatalf("%+v, %v", g.Summary, err)
	}
	var at *CorruptError
	if err := g.Check(); !errors.As(err, &at) || at.Offset != int64(len(file)-TrailerSize-len(tables)) {
		t.Fatalf("zeros in the tables: %v", err)
	}
}

func TestFlippedHeaderByteIsNoticed(t *testing.T) {
	page := AppendHeader(nil, Header{Shard: 1, Epoch: testEpoch, Base: 9})
	for at := range page {
		damaged := bytes.Clone(page)
		damaged[at] ^= 0x04
		if _, err := ParseHeader(damaged); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Fatalf("flip of byte %d: %v", at, err)
		}
	}
}
