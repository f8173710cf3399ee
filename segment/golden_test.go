package segment

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

// everyKind is a small sealed segment with a record of every kind.
func everyKind(t testing.TB) []byte {
	set := &RouteSet{ID: 5, Queues: []QueueID{9, 7, 8}}
	var first, second Batch
	first.Append(KindCatalogue, 0, 0, 1700000000000, []byte("catalogue"))
	first.AppendRouteSet(1700000000000, set)
	second.BeginPublish(PublishHead{
		Time: 1700000000001, Flags: FlagTransient, VHost: 3, Queues: []QueueID{12, 300, 11},
		Keys: []byte("\x05topic\x07a.b.c.d"), Header: []byte("content-header"), BodySize: 10,
	})
	second.AppendBody([]byte("hello "))
	second.AppendBody([]byte("body"))
	second.EndPublish()
	second.BeginPublish(PublishHead{Time: 1700000000002, VHost: 3, Set: set, Keys: []byte("\x00\x01q"), BodySize: 0})
	second.EndPublish()
	second.AppendSettle(1700000000003, 3, 12, SettleReject, []Range{{103, 103}, {101, 102}, {5000, 1 << 40}})
	second.AppendHorizon(1700000000004, 3, 12, 104)
	second.Append(KindTopology, 0, 4, 1700000000005, []byte{0, 1, 2, 3, 0xFF})
	second.Append(KindStart, 0, 0, 1700000000006, []byte("start"))
	second.Append(KindConsumer, 0, 3, 1700000000007, []byte("consumer"))
	consumer := Reference{Place: second.Count()}
	second.AppendSettled(SettleHead{Time: 1700000000008, VHost: 3, Queue: 12, Reason: SettleReturn, Consumer: consumer}, []Range{{90, 92}})
	second.AppendSettled(SettleHead{
		Time: 1700000000009, VHost: 3, Queue: 12, Reason: SettleTransfer, Consumer: Reference{LSN: 70}, Successor: Reference{Place: 1},
	}, []Range{{92, 92}})
	file := AppendHeader(nil, Header{
		Shard: 2, Required: SegmentFeatures, Optional: 1 << 40, Epoch: testEpoch, Base: 101, Created: 1699999999999, FileSize: 1 << 16,
	})
	for _, b := range []*Batch{&first, &second} {
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
	}
	file = append(file, first.Seal(101, testEpoch, 1700000000010, 100)...)
	file = append(file, second.Seal(103, testEpoch, 1700000000011, 102)...)
	scan := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 101})
	summary := scan.Summary
	summary.Synced, summary.Closed = 111, true
	return AppendScannedFooter(file, summary, scan.Places, scan.Sets, int64(len(file)))
}

func TestFormatIsTheDocumentedOne(t *testing.T) {
	file := everyKind(t)
	golden(t, "every-kind.hex", hexDump(file))
	golden(t, "every-kind.txt", describe(t, file))
}

func TestGoldenSegmentIsStillReadable(t *testing.T) {
	dump, err := os.ReadFile(filepath.Join("testdata", "every-kind.hex"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "every-kind.txt", describe(t, parseDump(t, string(dump))))
}

// TestSegmentFromBeforeTakersIsStillReadable reads a file that lacks FeatureTakers.
func TestSegmentFromBeforeTakersIsStillReadable(t *testing.T) {
	dump, err := os.ReadFile(filepath.Join("testdata", "before-takers.hex"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "before-takers.txt", describe(t, parseDump(t, string(dump))))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; a change of format needs a new version or feature bit, and docs/format.md\n%s", name, got)
	}
}

// hexDump writes sixteen bytes a line and leaves out lines of zeros.
func hexDump(data []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "size %d\n", len(data))
	for at := 0; at < len(data); at += 16 {
		line := data[at:min(at+16, len(data))]
		if len(bytes.Trim(line, "\x00")) > 0 {
			fmt.Fprintf(&out, "%06d %x\n", at, line)
		}
	}
	return out.String()
}

func parseDump(t *testing.T, dump string) []byte {
	t.Helper()
	head, rest, _ := strings.Cut(dump, "\n")
	size, err := strconv.Atoi(strings.TrimPrefix(head, "size "))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	for line := range strings.Lines(rest) {
		place, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := strconv.Atoi(place)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[at:], raw)
	}
	return data
}

// describe decodes everything in a sealed file.
func describe(t *testing.T, file []byte) string {
	t.Helper()
	var out strings.Builder
	h, err := ParseHeader(file)
	fmt.Fprintf(&out, "header %+v %v\n", h, err)
	f, err := ParseFooter(file, h.Epoch)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	scan := ScanFile(file, ScanConfig{Epoch: h.Epoch, First: h.Base, End: f.End, OnBatch: func(b BatchView) {
		fmt.Fprintf(&out, "batch at %d: %+v\n", b.Offset, b.BatchHeader)
		for at, r := range b.Records() {
			fmt.Fprintf(&out, "  %d: record %d %v flags %d vhost %d time %d valid %v: %s\n",
				at, r.LSN(), r.Kind(), r.Flags(), r.VHost(), r.Time(), r.Valid(), describePayload(t, r))
		}
	}})
	fmt.Fprintf(&out, "footer %+v\n", f.Summary)
	for i := range f.Count() {
		fmt.Fprintf(&out, "  place %d = %d, scanned %d\n", i, f.At(i), scan.Places[i]<<3)
	}
	for i := range f.SetCount() {
		fmt.Fprintf(&out, "  set %d\n", f.Set(i))
	}
	return out.String()
}

func describePayload(t *testing.T, r Record) string {
	t.Helper()
	switch r.Kind() {
	case KindPublish:
		p, err := r.Publish()
		if err != nil {
			t.Fatal(err)
		}
		queues, err := p.AppendQueues(nil)
		if err != nil {
			t.Fatal(err)
		}
		set, interned := p.Set()
		exchange, key, err := p.Names()
		return fmt.Sprintf("queues %v set %d %v, %q %q %v, header %q body %q", queues, set, interned, exchange, key, err, p.Header, p.Body)
	case KindSettle:
		s, err := r.Settle()
		var ranges []Range
		for got := range s.Ranges() {
			ranges = append(ranges, got)
		}
		if s.Consumer != 0 || s.Successor != 0 {
			return fmt.Sprintf("queue %d %v %v consumer %d successor %d %v", s.Queue, s.Reason, ranges, s.Consumer, s.Successor, err)
		}
		return fmt.Sprintf("queue %d %v %v %v", s.Queue, s.Reason, ranges, err)
	case KindHorizon:
		h, err := r.Horizon()
		return fmt.Sprintf("%+v %v", h, err)
	case KindRouteSet:
		id, err := r.RouteSetID()
		if err != nil {
			t.Fatal(err)
		}
		queues, err := r.AppendRouteSet(nil)
		return fmt.Sprintf("id %d queues %v %v", id, queues, err)
	}
	return fmt.Sprintf("%q", r.Payload())
}
