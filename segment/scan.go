package segment

import (
	"encoding/binary"
	"errors"
)

// ScanConfig says what a scan of a whole file expects.
type ScanConfig struct {
	Epoch   uint64          // of the segment's present use; batches of another are stale bytes
	First   LSN             // number of the first record
	Before  LSN             // first record of the next segment; 0 when there is none
	End     int64           // where batches end, from the footer; 0 = anywhere in the file
	OnBatch func(BatchView) // called for every sound batch header; may be nil
}

// Damage is one fault that a scan found and went past.
type Damage struct {
	Offset int64
	Batch  LSN // first record of the batch concerned
	From   LSN // records lost, From to To; To = From-1 when a batch header alone is damaged
	To     LSN
	Reason string

	before mark
}

// Lost is the number of records that the damage took.
func (d Damage) Lost() int { return int(d.To + 1 - d.From) }

// mark is the state of a scan before a batch, to which Cut returns.
type mark struct {
	summary Summary
	places  int
	sets    int
	batches int
}

// Scan is what the batches of a file hold, found by reading all of it. Damaged bytes are passed over
// (resync): the next sound batch header of the same epoch, or the next sound record whose number
// fits, goes on. Whether that is right, or the log ends at the damage, is the tail rule's to say: see
// Cut.
type Scan struct {
	Summary
	Places  []uint32 // of record First+i in units of eight bytes; 0 = lost
	Sets    []uint32 // route-set records, number minus First
	Damages []Damage
	Batches int
	Torn    int64 // bytes behind End that a write of this epoch left incomplete, as far as can be told
}

// ScanFile scans the batches of a whole file.
func ScanFile(data []byte, cfg ScanConfig) *Scan {
	if cfg.End > 0 && cfg.End < int64(len(data)) {
		data = data[:cfg.End]
	}
	s := scanner{cfg: cfg, data: data, at: HeaderSize, next: cfg.First, budget: 4*len(data) + 1<<20}
	s.out.Summary = Summary{Epoch: cfg.Epoch, First: cfg.First, Last: cfg.First - 1, End: HeaderSize}
	for cfg.Before == 0 || s.next < cfg.Before {
		if batch, ok := s.batchAt(s.at); ok {
			s.take(batch)
		} else if !s.resync() {
			break
		}
	}
	s.finish()
	return &s.out
}

// Cut applies the tail rule: the scan ends before the first damaged batch past the synced
// watermark. It reports whether it cut.
func (s *Scan) Cut(synced LSN) bool {
	for i, d := range s.Damages {
		if d.Batch <= synced {
			continue
		}
		s.Torn = s.End + s.Torn - d.before.summary.End
		watermark := s.Synced
		s.restore(d.before, i)
		s.Synced = watermark
		return true
	}
	return false
}

// restore takes back everything since m, when there were so many damages.
func (s *Scan) restore(m mark, damages int) {
	s.Summary, s.Batches = m.summary, m.batches
	s.Places, s.Sets, s.Damages = s.Places[:m.places], s.Sets[:m.sets], s.Damages[:damages]
}

// scanner is the state of ScanFile.
type scanner struct {
	cfg    ScanConfig
	data   []byte
	out    Scan
	at     int // where the next batch should begin
	next   LSN // and its number
	budget int // bytes that may be hashed in vain, so that hostile bodies cannot make a scan quadratic
}

// batchAt returns the sound batch at offset, when its number can be right: the records missing
// before it must have had room.
func (s *scanner) batchAt(offset int) (BatchView, bool) {
	if offset > len(s.data)-BatchHeaderSize || binary.LittleEndian.Uint32(s.data[offset:]) != batchMagic {
		return BatchView{}, false
	}
	batch, err := ParseBatch(s.data, offset, s.cfg.Epoch)
	if err != nil || !s.fits(batch.First, offset) || (s.cfg.Before != 0 && batch.Last() >= s.cfg.Before) {
		return BatchView{}, false
	}
	return batch, true
}

func (s *scanner) fits(lsn LSN, offset int) bool {
	return lsn >= s.next && uint64(lsn-s.next) <= uint64(offset-s.at)/RecordHeaderSize
}

// take adds a batch whose header is sound. Its records stand or fall alone.
func (s *scanner) take(batch BatchView) {
	before := s.mark()
	if batch.First > s.next {
		s.lose(Damage{
			Offset: int64(s.at), Batch: s.next, From: s.next, To: batch.First - 1,
			Reason: "batches missing", before: before,
		})
	}
	s.out.Synced = max(s.out.Synced, batch.Synced)
	if s.out.Batches == 0 {
		s.out.MinTime = batch.Time
	}
	s.out.MaxTime = max(s.out.MaxTime, batch.Time)
	s.out.Batches++
	if s.cfg.OnBatch != nil {
		s.cfg.OnBatch(batch)
	}
	before = s.beforeBatch(before, batch)
	for at, record := range batch.Records() {
		switch {
		case record.LSN() != s.next:
			s.lose(Damage{
				Offset: int64(at), Batch: batch.First, From: s.next, To: s.next,
				Reason: "record has another's number", before: before,
			})
		case !record.Valid():
			s.lose(Damage{
				Offset: int64(at), Batch: batch.First, From: s.next, To: s.next,
				Reason: "record checksum mismatch", before: before,
			})
		default:
			s.keep(record, at)
		}
	}
	s.at = batch.Offset + batch.Length
	s.out.End = int64(s.at)
}

// resync goes past bytes that are no sound batch: it adds what records can be saved and takes the next
// sound batch; false when none comes.
func (s *scanner) resync() bool {
	before, first, start, damages := s.mark(), s.next, s.at, len(s.out.Damages)
	_, err := ParseBatch(s.data, s.at, s.cfg.Epoch)
	damage := Damage{
		Offset: int64(s.at), Batch: first, From: first, To: first - 1,
		Reason: reasonOf(err), before: before,
	}
	reported := false
	report := func() {
		if !reported {
			s.out.Damages = append(s.out.Damages, damage)
			reported = true
		}
	}
	for at := s.at; at <= len(s.data)-RecordHeaderSize; {
		if binary.LittleEndian.Uint64(s.data[at:]) == 0 {
			at += 8 // nothing begins so, and what was not written yet of the segment in use is zeros
			continue
		}
		if batch, ok := s.batchAt(at); ok {
			report()
			s.take(batch)
			return true
		}
		record, ok := s.recordAt(at)
		if !ok {
			at += 8
			continue
		}
		report()
		if lsn := record.LSN(); lsn > s.next {
			s.lose(Damage{
				Offset: int64(s.at), Batch: first, From: s.next, To: lsn - 1,
				Reason: "records missing", before: before,
			})
		}
		s.keep(record, at)
		at += align(len(record))
		s.at, s.out.End = at, int64(at)
		if s.cfg.Before != 0 && s.next >= s.cfg.Before {
			return false
		}
	}
	if s.cfg.Before == 0 && s.tornAt(start) == 0 {
		// Neither the bytes here nor any behind are a batch of this epoch, so nothing says that the
		// records found, which carry no epoch, are of this use of the file.
		s.out.restore(before, damages)
		s.at, s.next = start, first
	}
	return false
}

// recordAt returns the sound record at offset when its number can be right.
func (s *scanner) recordAt(offset int) (Record, bool) {
	length := int(binary.LittleEndian.Uint32(s.data[offset:]))
	if length < RecordHeaderSize || align(length) > len(s.data)-offset || length > s.budget {
		return nil, false
	}
	record := Record(s.data[offset : offset+length])
	lsn := record.LSN()
	if !s.fits(lsn, offset) || (s.cfg.Before != 0 && lsn >= s.cfg.Before) {
		return nil, false
	}
	if !record.Valid() {
		s.budget -= length
		return nil, false
	}
	return record, true
}

// finish says what stands behind the last record.
func (s *scanner) finish() {
	s.out.End = max(s.out.End, HeaderSize)
	if s.cfg.Before != 0 {
		if s.next < s.cfg.Before {
			// Their number is bounded by nothing, so they get no places.
			s.out.Damages = append(s.out.Damages, Damage{
				Offset: s.out.End, Batch: s.next, From: s.next, To: s.cfg.Before - 1,
				Reason: "records missing before the next segment", before: s.mark(),
			})
		}
		return
	}
	s.out.Torn = int64(s.tornAt(int(s.out.End)))
}

// tornAt is the length of the unfinished batch of this epoch at offset, as far as its header tells;
// 0 when there is none. A header may have been cut before its epoch, which is then zero.
func (s *scanner) tornAt(offset int) int {
	rest := s.data[min(offset, len(s.data)):]
	if len(rest) < batchEpoch+8 || binary.LittleEndian.Uint32(rest) != batchMagic {
		return 0
	}
	if epoch := binary.LittleEndian.Uint64(rest[batchEpoch:]); epoch != s.cfg.Epoch && epoch != 0 {
		return 0
	}
	return min(max(int(binary.LittleEndian.Uint32(rest[batchLength:])), BatchHeaderSize), len(rest))
}

func (s *scanner) keep(record Record, at int) {
	if record.Kind() == KindRouteSet {
		s.out.Sets = append(s.out.Sets, uint32(s.next-s.cfg.First))
	}
	s.out.Places = append(s.out.Places, uint32(at>>3))
	s.out.Last = s.next
	s.next++
}

// lose adds a damage and passes over its records, whose number fits has bounded.
func (s *scanner) lose(d Damage) {
	s.out.Damages = append(s.out.Damages, d)
	for range d.Lost() {
		s.out.Places = append(s.out.Places, 0)
	}
	s.next = d.To + 1
	s.out.Last = d.To
}

func (s *scanner) mark() mark {
	return mark{summary: s.out.Summary, places: len(s.out.Places), sets: len(s.out.Sets), batches: s.out.Batches}
}

// beforeBatch is where a damaged record of batch cuts: behind what was lost before the batch, and
// without the batch's own effects.
func (s *scanner) beforeBatch(before mark, batch BatchView) mark {
	before.places = len(s.out.Places)
	before.summary.Last = batch.First - 1
	return before
}

func reasonOf(err error) string {
	var c *CorruptError
	if errors.As(err, &c) {
		return c.Reason
	}
	return "batch out of sequence"
}
