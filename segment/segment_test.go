package segment

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const testEpoch = 0x7_1234_5678

var testKeys = []byte("\x02ex\x05a.b.c")

func publish(b *Batch, body string, queues ...QueueID) {
	b.BeginPublish(PublishHead{Time: 1000, VHost: 3, Queues: queues, Keys: testKeys, Header: []byte("header"), BodySize: len(body)})
	b.AppendBody([]byte(body))
	b.EndPublish()
}

// fileOf writes batches one behind the other as a log would; each gets the next numbers.
func fileOf(t testing.TB, size int, first LSN, batches ...*Batch) []byte {
	t.Helper()
	file := AppendHeader(nil, Header{Epoch: testEpoch, Base: first, FileSize: int64(size)})
	synced := first - 1
	for i, b := range batches {
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		file = append(file, b.Seal(first, testEpoch, int64(1000+i), synced)...)
		synced = first - 1
		first += LSN(b.Count())
	}
	if len(file) < size {
		file = append(file, make([]byte, size-len(file))...)
	}
	return file
}

func batchOf(bodies ...string) *Batch {
	b := new(Batch)
	for _, body := range bodies {
		publish(b, body, 7)
	}
	return b
}

func TestPublishComesBackAsBuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues := rapid.SliceOfN(rapid.Map(rapid.Uint64(), func(n uint64) QueueID { return QueueID(n) }), 0, 8).Draw(t, "queues")
		keys := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "keys")
		header := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "header")
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 30), 0, 4).Draw(t, "chunks")
		body := slices.Concat(chunks...)
		var b Batch
		b.BeginPublish(PublishHead{Time: -5, Flags: FlagTransient, VHost: 9, Queues: queues, Keys: keys, Header: header, BodySize: len(body)})
		for _, chunk := range chunks {
			b.AppendBody(chunk)
		}
		b.EndPublish()
		data := b.Seal(42, testEpoch, 77, 41)
		view, err := ParseBatch(data, 0, testEpoch)
		if err != nil || view.First != 42 || view.Time != 77 || view.Synced != 41 || view.Count != 1 || view.Length != b.Len() {
			t.Fatalf("batch %+v: %v", view.BatchHeader, err)
		}
		for _, r := range view.Records() {
			p, err := r.Publish()
			if err != nil || !r.Valid() || r.LSN() != 42 || r.Time() != -5 || r.Flags() != FlagTransient || r.VHost() != 9 {
				t.Fatalf("record %v: %v", r, err)
			}
			got, err := p.AppendQueues(nil)
			if err != nil || !slices.Equal(got, queues) || !bytes.Equal(p.Keys, keys) || !bytes.Equal(p.Header, header) || !bytes.Equal(p.Body, body) {
				t.Fatalf("publish %+v, queues %v: %v", p, got, err)
			}
		}
	})
}

func TestScanFindsEverythingWritten(t *testing.T) {
	file := fileOf(t, 8192, 10, batchOf("one", "two"), batchOf("three"))
	s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 10})
	if s.First != 10 || s.Last != 12 || s.Batches != 2 || len(s.Damages) != 0 || s.Torn != 0 {
		t.Fatalf("scan: %+v", s)
	}
	for i, want := range []string{"one", "two", "three"} {
		r, err := RecordAt(file, int(s.Places[i])<<3)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := r.Publish(); err != nil || string(p.Body) != want {
			t.Fatalf("record %d: %q, %v", i, p.Body, err)
		}
	}
}

func TestHeaderRefusals(t *testing.T) {
	sound := AppendHeader(nil, Header{Base: 1})
	fix := func(change func(p []byte)) []byte {
		p := bytes.Clone(sound)
		change(p)
		crc := headerChecksum(p)
		p[headerCRC], p[headerCRC+1], p[headerCRC+2], p[headerCRC+3] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		return p
	}
	cases := map[string]struct {
		page []byte
		want error
	}{
		"sound":           {sound, nil},
		"empty":           {nil, ErrFormat},
		"zeros":           {make([]byte, HeaderSize), ErrFormat},
		"future version":  {fix(func(p []byte) { p[headerVersion] = 2 }), ErrVersion},
		"unknown feature": {fix(func(p []byte) { p[headerRequired] = 8 }), ErrFeature},
		"optional bit":    {fix(func(p []byte) { p[headerOptional] = 1 }), nil},
		"cut page":        {sound[:HeaderSize-1], ErrCorrupt},
	}
	for name, c := range cases {
		if _, err := ParseHeader(c.page); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
