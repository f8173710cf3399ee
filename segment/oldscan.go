package segment

import "encoding/binary"

// OldScan is what the blocks of an old-generation file hold, found without its footer.
type OldScan struct {
	Footer  OldFooter // made anew, in memory of its own; records of a block have the time of its first
	Damages []Damage  // of From to To some may be lost: nothing tells which of them had survived
}

// ScanOld reads every block of a file whose footer is damaged. The error is for blocks that contradict each
// other.
func ScanOld(data []byte, h OldHeader, decoder *OldDecoder) (OldScan, error) {
	s := oldScanner{header: h, data: data, decoder: decoder, next: h.First, damaged: -1, end: HeaderSize}
	s.minTime, s.maxTime, s.previous = h.Created, h.Created, -1<<63
	for at := HeaderSize; at <= len(data)-8 && !s.final; {
		switch {
		case s.take(at):
			at = int(s.end)
		case binary.LittleEndian.Uint64(data[at:]) == oldFooterMagic:
			at = len(data)
		default:
			if s.damaged < 0 {
				s.damaged = int64(at)
			}
			at += 8
		}
	}
	if !s.final && s.next <= h.Last {
		s.lose(h.Last)
	}
	footer := s.table.appendFooter(nil, h, s.minTime, s.maxTime, s.end)
	var err error
	if s.out.Footer, err = parseOldFooter(footer[:len(footer)-TrailerSize], int(s.end), h.Epoch); err == nil {
		err = s.out.Footer.Check()
	}
	return s.out, err
}

// oldScanner is the state of ScanOld.
type oldScanner struct {
	header  OldHeader
	data    []byte
	decoder *OldDecoder
	out     OldScan
	table   oldTable

	next             LSN   // the least that the next block may begin with
	previous         int64 // time of the last block's records, ms
	minTime, maxTime int64
	end              int64 // where the last sound block ends
	damaged          int64 // where damage began that no sound block has ended yet; -1 = none
	final            bool  // the last block was found
}

// take adds the block at offset at if it is sound and can come next.
func (s *oldScanner) take(at int) bool {
	b, ok := parseBlockHeader(s.data, at, s.header.Epoch)
	if !ok || b.First < s.next || b.last > s.header.Last || b.MinTime < s.previous {
		return false
	}
	raw, err := s.decoder.Block(s.data, b.OldBlock)
	if err != nil || !s.table.addScanned(b, raw) {
		return false
	}
	if s.damaged >= 0 {
		s.lose(b.First - 1)
	}
	if len(s.table.blocks) == 1 {
		s.minTime = b.MinTime
	}
	s.maxTime, s.previous, s.next = max(b.maxTime, b.MinTime), b.MinTime, b.last+1
	s.end, s.final = int64(align(int(b.Offset)+b.Compressed)), b.final
	return true
}

// lose notes that records up to to may be lost.
func (s *oldScanner) lose(to LSN) {
	at := s.damaged
	if at < 0 {
		at = s.end
	}
	s.out.Damages = append(s.out.Damages, Damage{
		Offset: at, Batch: s.next, From: s.next, To: to, Reason: "damaged blocks; those that had survived relocation are lost",
	})
	s.damaged = -1
}

// addScanned adds a block whose raw bytes are sound, and its records; false when they are not what its header
// says.
func (t *oldTable) addScanned(b blockHeader, raw []byte) bool {
	entries, previous, count := len(t.entries), b.First-1, 0
	block := b.OldBlock
	block.Index = t.records()
	t.blocks = append(t.blocks, block)
	for at := 0; at < len(raw); count++ {
		record, err := RecordAt(raw, at)
		if err != nil || record.LSN() <= previous || count == 0 && record.LSN() != b.First {
			break
		}
		t.add(record.LSN(), b.MinTime, at)
		previous = record.LSN()
		at += align(len(record))
	}
	if count != b.Count || previous != b.last {
		t.blocks, t.entries = t.blocks[:len(t.blocks)-1], t.entries[:entries]
		return false
	}
	return true
}
