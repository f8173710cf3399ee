package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var oldTestHeader = OldHeader{Shard: 2, Optional: 1 << 40, Epoch: testEpoch, First: 101, Last: 1 << 40, Created: 1699999999999}

// oldRecords makes records with these numbers and bodies of so many bytes, noise that does not compress.
func oldRecords(numbers []LSN, size int) []Record {
	chance := rand.New(rand.NewPCG(5, 6))
	var out []Record
	for _, lsn := range numbers {
		var b Batch
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(chance.Uint32())
		}
		b.BeginPublish(PublishHead{Time: int64(lsn), VHost: 3, Queues: []QueueID{7, 9}, Keys: []byte("\x00\x01q"), Header: []byte("h"), BodySize: size})
		b.AppendBody(body)
		b.EndPublish()
		r, err := RecordAt(bytes.Clone(b.Seal(lsn, testEpoch, 0, 0)), BatchHeaderSize)
		if err != nil {
			panic(err)
		}
		out = append(out, r)
	}
	return out
}

// oldImage writes records to a file's bytes, each taken in at its number in ms.
func oldImage(t testing.TB, h OldHeader, records []Record) []byte {
	t.Helper()
	w, err := NewOldWriter(h)
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	take := func() {
		p, at := w.Take()
		if int(at) != len(file) {
			t.Fatalf("piece for %d at %d", at, len(file))
		}
		file = append(file, p...)
	}
	for _, r := range records {
		if err := w.Add(r, int64(r.LSN())); err != nil {
			t.Fatal(err)
		}
		take()
	}
	w.Finish(1, 1<<41)
	take()
	return file
}

func oldDecoder(t testing.TB) *OldDecoder {
	t.Helper()
	d, err := NewOldDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// checkedOldFooter parses a footer and checks its tables.
func checkedOldFooter(file []byte, epoch uint64) (OldFooter, error) {
	f, err := ParseOldFooter(file, epoch)
	if err == nil {
		err = f.Check()
	}
	return f, err
}

// readOld returns every record that the footer names, all of which must be there.
func readOld(t testing.TB, file []byte, f OldFooter, d *OldDecoder) []Record {
	t.Helper()
	var got []Record
	for i := range f.Records() {
		at := f.Record(i)
		raw, err := d.Block(file, f.Block(at.Block))
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.RecordIn(raw, at)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	return got
}

func TestOldFilesGiveBackWhatWasWritten(t *testing.T) {
	d := oldDecoder(t)
	for _, c := range []struct {
		name    string
		numbers []LSN
		size    int
		blocks  int
	}{
		{"nothing", nil, 0, 0},
		{"one", []LSN{500}, 10, 1},
		{"first and last", []LSN{101, 1 << 40}, 10, 2}, // too far apart for one block
		{"several blocks", []LSN{101, 102, 104, 200, 201, 202, 203, 1000, 1001}, 100000, 5},
		{"larger than a block", []LSN{101, 102, 103}, 1 << 20, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			records := oldRecords(c.numbers, c.size)
			file := oldImage(t, oldTestHeader, records)
			h, err := ParseOldHeader(file)
			want := oldTestHeader
			want.Version = OldVersion
			if err != nil || h != want {
				t.Fatalf("header %+v, %v", h, err)
			}
			f, err := checkedOldFooter(file, h.Epoch)
			if err != nil || f.Records() != len(records) || f.Blocks() != c.blocks || f.First != 101 || f.Last != 1<<40 {
				t.Fatalf("%d records, %d blocks, %v", f.Records(), f.Blocks(), err)
			}
			if got := readOld(t, file, f, d); !slices.EqualFunc(got, records, func(a, b Record) bool { return bytes.Equal(a, b) }) {
				t.Fatal("other records came back")
			}
			for i, lsn := range c.numbers {
				if f.Seek(lsn) != i || f.Seek(lsn-1) > i || f.Seek(lsn+1) <= i || f.SeekTime(int64(lsn)) != i {
					t.Errorf("record %d is found at %d, its time at %d", lsn, f.Seek(lsn), f.SeekTime(int64(lsn)))
				}
			}
			scan, err := ScanOld(file[:f.End], h, d)
			if len(c.numbers) == 0 {
				return // nothing tells an empty file from one that was cut
			}
			if err != nil || len(scan.Damages) > 0 {
				t.Fatalf("scan: %v, %+v", err, scan.Damages)
			}
			if got := readOld(t, file, scan.Footer, d); !slices.EqualFunc(got, records, func(a, b Record) bool { return bytes.Equal(a, b) }) {
				t.Fatal("the scan found other records")
			}
		})
	}
}

func TestOldWriterRefusesDisorder(t *testing.T) {
	r := oldRecords([]LSN{100, 200, 201}, 5)
	w, err := NewOldWriter(OldHeader{Epoch: testEpoch, First: 150, Last: 200})
	if err != nil {
		t.Fatal(err)
	}
	if w.Add(r[0], 1) == nil || w.Add(r[2], 1) == nil {
		t.Error("records out of the file's range were taken")
	}
	if err := w.Add(r[1], 5); err != nil {
		t.Fatal(err)
	}
	if w.Add(r[1], 5) == nil {
		t.Error("a record was taken twice")
	}
}

func TestOldHeaderOfANewerVersionHasItsOwnError(t *testing.T) {
	page := AppendOldHeader(nil, oldTestHeader)
	version, feature := bytes.Clone(page), bytes.Clone(page)
	binary.LittleEndian.PutUint32(version[headerVersion:], OldVersion+1)
	binary.LittleEndian.PutUint64(feature[headerRequired:], 1<<9)
	for _, c := range []struct {
		p    []byte
		want error
	}{{version, ErrVersion}, {feature, ErrFeature}} {
		binary.LittleEndian.PutUint32(c.p[headerCRC:], headerChecksum(c.p))
		if _, err := ParseOldHeader(c.p); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	if _, err := ParseHeader(page); !errors.Is(err, ErrFormat) {
		t.Errorf("taken for a segment: %v", err)
	}
}

func TestOldFormatIsTheDocumentedOne(t *testing.T) {
	file := oldImage(t, oldTestHeader, oldRecords([]LSN{101, 105, 1 << 39}, 20))
	golden(t, "old.hex", hexDump(file))
	golden(t, "old.txt", describeOld(t, file))
}

func TestGoldenOldFileIsStillReadable(t *testing.T) {
	dump, err := os.ReadFile(filepath.Join("testdata", "old.hex"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "old.txt", describeOld(t, parseDump(t, string(dump))))
}

func describeOld(t *testing.T, file []byte) string {
	t.Helper()
	var out strings.Builder
	h, err := ParseOldHeader(file)
	fmt.Fprintf(&out, "%+v %v\n", h, err)
	f, err := checkedOldFooter(file, h.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "records %d to %d, times %d to %d, raw %d, end %d\n", f.First, f.Last, f.MinTime, f.MaxTime, f.RawBytes, f.End)
	for i := range f.Blocks() {
		fmt.Fprintf(&out, "%+v\n", f.Block(i))
	}
	for i, r := range readOld(t, file, f, oldDecoder(t)) {
		fmt.Fprintf(&out, "%+v %s, %d bytes\n", f.Record(i), r.Kind(), len(r))
	}
	return out.String()
}

// FuzzOldFile gives the readers any bytes for what stands behind the header, the checksums of footer and trailer
// made right, as a broken writer could have left them.
func FuzzOldFile(f *testing.F) {
	d, err := NewOldDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(d.Close)
	h := oldTestHeader
	sound := oldImage(f, h, oldRecords([]LSN{101, 102, 105, 1 << 39}, 30))
	f.Add(sound[HeaderSize:], uint32(0), uint64(0))
	f.Add(sound[HeaderSize:len(sound)-100], uint32(0), uint64(0))
	footer, err := checkedOldFooter(sound, h.Epoch)
	if err != nil {
		f.Fatal(err)
	}
	for _, at := range []int{oldFooterFirst, oldFooterLast, oldFooterEnd, oldFooterBlocks, oldFooterRecords, footerHead + oldBlockOffset, footerHead + oldBlockRaw, footerHead + oldBlockCount, footerHead + oldBlockIndex} {
		for _, value := range []uint64{0, 1, 1 << 31, 1<<64 - 1} {
			f.Add(sound[HeaderSize:], uint32(footer.End)+uint32(at), value)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint32, value uint64) {
		file := append(AppendOldHeader(nil, h), data...)
		if n := int(at); n >= HeaderSize && n <= len(file)-8 {
			binary.LittleEndian.PutUint64(file[n:], value)
		}
		if n := len(file) - TrailerSize; n >= HeaderSize {
			trailer := file[n:]
			start := binary.LittleEndian.Uint64(trailer[trailerFooter:])
			if start >= HeaderSize && start <= uint64(n) {
				if footer := file[start:n]; len(footer) >= footerHead {
					binary.LittleEndian.PutUint32(footer[footerTables:], checksum(footer[footerHead:]))
					binary.LittleEndian.PutUint32(trailer[trailerCRC:], checksum(footer[:footerHead]))
				}
				binary.LittleEndian.PutUint32(trailer[trailerSelf:], checksum(trailer[:trailerSelf]))
			}
		}
		check := func(footer OldFooter) {
			for i := range footer.Records() {
				r := footer.Record(i)
				if r.LSN < h.First && footer.First == h.First || footer.Seek(r.LSN) != i {
					t.Fatalf("record %d is found at %d", i, footer.Seek(r.LSN))
				}
				if raw, err := d.Block(file, footer.Block(r.Block)); err == nil {
					_, _ = footer.RecordIn(raw, r)
				}
			}
		}
		if footer, err := checkedOldFooter(file, h.Epoch); err == nil {
			check(footer)
		}
		if scan, err := ScanOld(file, h, d); err == nil {
			check(scan.Footer)
		}
	})
}

// The tables stand in a mapping: what damages them after they were checked may hide records, but neither gives a wrong
// one nor leads out of the file.
func TestTablesOfAnOldFileDamagedUnderItsReaderNeverLeadAstray(t *testing.T) {
	d := oldDecoder(t)
	numbers := []LSN{101, 102, 104, 200, 201, 202, 203, 1000, 1001}
	records := oldRecords(numbers, 100000)
	file := oldImage(t, oldTestHeader, records)
	f, err := checkedOldFooter(file, testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	raws := map[int][]byte{}
	for i := range f.Blocks() {
		if raws[i], err = d.Block(file, f.Block(i)); err != nil {
			t.Fatal(err)
		}
	}
	for at := int(f.End); at < len(file)-TrailerSize; at++ {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			file[at] ^= flip
			for n, lsn := range numbers {
				if i := f.Seek(lsn); i < f.Records() {
					place := f.Record(i)
					_ = f.Block(place.Block)
					if r, err := f.RecordIn(raws[place.Block], place); err == nil && place.LSN == lsn && !bytes.Equal(r, records[n]) {
						t.Fatalf("byte %d ^ %#x: another record for %d", at, flip, lsn)
					}
				}
			}
			_ = f.SeekTime(201)
			for i := range f.Blocks() {
				b := f.Block(i)
				for n := range b.Count {
					_ = f.Record(b.Index + n)
				}
			}
			file[at] ^= flip
		}
	}
}
