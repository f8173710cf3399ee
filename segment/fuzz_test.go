package segment

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// hostile builds a record of a kind around a payload, checksum and all, so that decoders see what a
// broken or malicious writer could have left.
func hostile(kind Kind, keys uint16, payload []byte) Record {
	var b Batch
	b.Append(kind, 0, 0, 0, payload)
	data := bytes.Clone(b.Seal(1, testEpoch, 0, 0))
	r, err := RecordAt(data, BatchHeaderSize)
	if err != nil {
		panic(err)
	}
	binary.LittleEndian.PutUint16(r[recordKeys:], keys)
	return r
}

func FuzzRecord(f *testing.F) {
	u32 := func(values ...uint32) (p []byte) {
		for _, v := range values {
			p = binary.LittleEndian.AppendUint32(p, v)
		}
		return p
	}
	huge := bytes.Repeat([]byte{0xFF}, 10)
	seeds := map[string]struct {
		kind    Kind
		keys    uint16
		payload []byte
	}{
		"empty publish":            {KindPublish, 0, nil},
		"publish route overruns":   {KindPublish, 0, u32(1<<32-1, 0)},
		"publish lengths wrap":     {KindPublish, 1<<16 - 1, u32(1<<32-1, 1<<32-1)},
		"publish keys overrun":     {KindPublish, 9, u32(0, 0)},
		"publish, 2^63 queues":     {KindPublish, 0, append(u32(10, 0), huge...)},
		"publish, set and rest":    {KindPublish, 0, append(u32(3, 0), 1, 5, 5)},
		"publish, odd head":        {KindPublish, 0, append(u32(2, 0), 3, 5)},
		"publish, names overrun":   {KindPublish, 2, append(u32(0, 0), 200, 1)},
		"settle, no count":         {KindSettle, 0, make([]byte, 9)},
		"settle, 2^63 ranges":      {KindSettle, 0, append(make([]byte, 9), huge...)},
		"settle, range from zero":  {KindSettle, 0, append(make([]byte, 9), 1, 0, 0)},
		"settle, span wraps":       {KindSettle, 0, append(append(make([]byte, 9), 1, 2), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1)},
		"settle, bytes after":      {KindSettle, 0, append(make([]byte, 9), 0, 7)},
		"horizon too short":        {KindHorizon, 0, make([]byte, 15)},
		"horizon too long":         {KindHorizon, 0, make([]byte, 17)},
		"route set, no count":      {KindRouteSet, 0, make([]byte, 8)},
		"route set, 2^63 queues":   {KindRouteSet, 0, append(make([]byte, 8), huge...)},
		"route set, endless id":    {KindRouteSet, 0, append(append(make([]byte, 8), 1), huge...)},
		"unknown kind":             {99, 0, []byte("x")},
		"catalogue, anything goes": {KindCatalogue, 0, huge},
	}
	for _, s := range seeds {
		f.Add(uint8(s.kind), s.keys, s.payload)
	}
	f.Fuzz(func(t *testing.T, kind uint8, keys uint16, payload []byte) {
		r := hostile(Kind(kind), keys, payload)
		if p, err := r.Publish(); err == nil {
			if len(p.Route)+len(p.Keys)+len(p.Header)+len(p.Body)+publishFixed != len(payload) {
				t.Fatal("parts do not make up the payload")
			}
			queues, err := p.AppendQueues(nil)
			if err == nil && len(queues) > len(p.Route) {
				t.Fatal("more queues than bytes")
			}
			_, _ = p.Set()
			_, _, _ = p.Names()
		}
		if s, err := r.Settle(); err == nil {
			n := 0
			for got := range s.Ranges() {
				if got.From == 0 || got.To < got.From {
					t.Fatalf("range %+v", got)
				}
				n++
			}
			if n != s.Count() {
				t.Fatalf("%d ranges of %d", n, s.Count())
			}
		}
		_, _ = r.Horizon()
		_, _ = r.RouteSetID()
		_, _ = r.AppendRouteSet(nil)
	})
}

// FuzzSettle decodes settles with references.
func FuzzSettle(f *testing.F) {
	huge := bytes.Repeat([]byte{0xFF}, 10)
	for _, references := range map[string][]byte{
		"by number": {2, 4}, "by place": {3, 5}, "to itself": {1, 1}, "to one behind": {200, 2}, "far back": {255, 127}, "endless": huge, "none": {},
	} {
		for _, flags := range []Flags{0, FlagConsumer, FlagSuccessor, FlagConsumer | FlagSuccessor} {
			f.Add(uint8(flags), append(append(make([]byte, 9), references...), 1, 2, 0))
		}
	}
	f.Fuzz(func(t *testing.T, flags uint8, payload []byte) {
		var b Batch
		b.Append(KindSettle, Flags(flags), 0, 0, payload)
		r, err := RecordAt(b.Seal(50, testEpoch, 0, 0), BatchHeaderSize)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Settle()
		if err != nil {
			return
		}
		if s.Consumer >= 50 || s.Successor >= 50 {
			t.Fatalf("refers to what is not written yet: %+v", s)
		}
		if (s.Consumer != 0) != (r.Flags()&FlagConsumer != 0) || (s.Successor != 0) != (r.Flags()&FlagSuccessor != 0) {
			t.Fatalf("flags %d and references do not go together: %+v", flags, s)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	sound := AppendHeader(nil, Header{Epoch: testEpoch, Base: 1})
	length := func(n uint32) []byte {
		p := bytes.Clone(sound)
		binary.LittleEndian.PutUint32(p[headerLength:], n)
		return p
	}
	for _, seed := range map[string][]byte{
		"sound": sound, "empty": nil, "magic alone": sound[:8], "length 0": length(0),
		"length beyond the page": length(1 << 19), "length 2^32-1": length(1<<32 - 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := ParseHeader(p)
		if err == nil && (h.Base == 0 || h.Version != Version) {
			t.Fatalf("took %+v", h)
		}
	})
}

func FuzzParseFooter(f *testing.F) {
	sound := everyKind(f)
	change := func(do func(trailer []byte)) []byte {
		p := bytes.Clone(sound)
		trailer := p[len(p)-TrailerSize:]
		do(trailer)
		binary.LittleEndian.PutUint32(trailer[trailerSelf:], checksum(trailer[:trailerSelf]))
		return p
	}
	for _, seed := range map[string][]byte{
		"sound": sound, "empty": nil, "header alone": sound[:HeaderSize], "trailer alone": sound[len(sound)-TrailerSize:],
		"footer before the header": change(func(p []byte) { binary.LittleEndian.PutUint64(p[trailerFooter:], 8) }),
		"footer at 2^64-1":         change(func(p []byte) { binary.LittleEndian.PutUint64(p[trailerFooter:], 1<<64-1) }),
		"footer of length 0":       change(func(p []byte) { binary.LittleEndian.PutUint64(p[trailerLength:], 0) }),
		"other epoch":              change(func(p []byte) { p[trailerEpoch]++ }),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		footer, err := ParseFooter(p, testEpoch)
		_, _ = TrailerEpoch(p)
		if err != nil {
			return
		}
		_ = footer.Check()
		readAll(footer)
	})
}

// readAll asks a footer for all that it says it has.
func readAll(footer Footer) {
	for i := range footer.Count() {
		_ = footer.At(i)
	}
	for i := range footer.SetCount() {
		_ = footer.Set(i)
	}
}

// FuzzParseFooterFields skips the checksums, which a fuzzer does not get past.
func FuzzParseFooterFields(f *testing.F) {
	sound := everyKind(f)
	footer, err := ParseFooter(sound, testEpoch)
	if err != nil {
		f.Fatal(err)
	}
	at := len(sound) - int(FooterSize(footer.Count(), footer.SetCount()))
	p := sound[at : len(sound)-TrailerSize]
	counts := func(records, sets uint32) []byte {
		q := bytes.Clone(p)
		binary.LittleEndian.PutUint32(q[footerCount:], records)
		binary.LittleEndian.PutUint32(q[footerSets:], sets)
		return q
	}
	for _, seed := range map[string][]byte{
		"sound": p, "counts 2^32-1": counts(1<<32-1, 1<<32-1), "no records": counts(0, 0), "sets beyond": counts(7, 1<<31),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < footerHead {
			return
		}
		footer, err := parseFooter(p, HeaderSize, testEpoch)
		if err != nil {
			return
		}
		readAll(footer)
	})
}

func FuzzScanFile(f *testing.F) {
	whole, starts, end := threeBatches(f)
	data := whole[HeaderSize:]
	change := func(offset int, value byte) []byte {
		p := bytes.Clone(data)
		p[offset-HeaderSize] = value
		return p
	}
	for _, seed := range map[string][]byte{
		"sound":               data,
		"empty":               nil,
		"cut in a record":     data[:end-HeaderSize-20],
		"batch of length 0":   change(starts[1]+batchLength, 0),
		"batch of 2^31 bytes": change(starts[1]+batchLength+3, 0x80),
		"batch of 2^31":       change(starts[1]+batchCount+3, 0x80),
		"batch number far on": change(starts[1]+batchFirst+7, 0x7F),
		"record of length 0":  change(starts[0]+BatchHeaderSize, 0),
		"record number back":  change(starts[2]+BatchHeaderSize+recordLSN, 1),
		"batch twice":         append(bytes.Clone(data[:starts[1]-HeaderSize]), data...),
	} {
		f.Add(seed, uint64(0))
		f.Add(seed, uint64(8))
	}
	header := whole[:HeaderSize]
	f.Fuzz(func(t *testing.T, data []byte, before uint64) {
		file := append(bytes.Clone(header), data...)
		s := ScanFile(file, ScanConfig{Epoch: testEpoch, First: 1, Before: LSN(before)})
		if len(s.Places) != s.Count() || len(s.Places) > len(file)/RecordHeaderSize {
			t.Fatalf("%d places, %d records in %d bytes", len(s.Places), s.Count(), len(file))
		}
		if s.End < HeaderSize || s.End > int64(len(file)) || s.End+s.Torn > int64(len(file)) {
			t.Fatalf("ends at %d with %d torn of %d", s.End, s.Torn, len(file))
		}
		if before > 0 && s.Last >= LSN(before) {
			t.Fatalf("record %d, next segment begins with %d", s.Last, before)
		}
		for i, place := range s.Places {
			if place == 0 {
				continue
			}
			r, err := RecordAt(file[:s.End], int(place)<<3)
			if err != nil || r.LSN() != LSN(i+1) || !r.Valid() {
				t.Fatalf("place of record %d: %v", i+1, err)
			}
		}
		lsn := s.Last
		s.Cut(0)
		if s.Last > lsn || len(s.Places) != s.Count() || s.End+s.Torn > int64(len(file)) {
			t.Fatalf("after the cut: %+v", s.Summary)
		}
	})
}
