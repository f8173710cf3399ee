package segment

import (
	"encoding/binary"
	"sort"
)

// Layout of the footer of an old-generation file, which ends where the trailer begins. Behind its head, as long as
// that of a segment's footer and with the tables' checksum at the same place, stand the blocks and then the
// records, each in the order of their numbers.
const (
	oldFooterMagic   = 0x315F_4446_444C_4F4D // "MOLDFD_1"
	oldFooterEpoch   = 8                     // u64
	oldFooterFirst   = 16                    // u64
	oldFooterLast    = 24                    // u64
	oldFooterMin     = 32                    // i64 ms
	oldFooterMax     = 40                    // i64 ms
	oldFooterRaw     = 48                    // u64
	oldFooterEnd     = 56                    // u64
	oldFooterBlocks  = 64                    // u32
	oldFooterRecords = 68                    // u32
	oldFooterUnused  = 72                    // u32, zero

	oldBlockOffset     = 0  // u64
	oldBlockFirst      = 8  // u64
	oldBlockMin        = 16 // i64 ms
	oldBlockCompressed = 24 // u32
	oldBlockRaw        = 28 // u32
	oldBlockCRC        = 32 // u32
	oldBlockCount      = 36 // u32
	oldBlockIndex      = 40 // u32
	oldBlockSize       = 48

	oldRecordLSN   = 0 // u32, minus the block's first
	oldRecordTime  = 4 // u32 ms, minus the block's
	oldRecordPlace = 8 // u32, in the raw block, in units of eight bytes
	oldRecordSize  = 12
)

// oldTable is the contents of a footer while a file is written or scanned.
type oldTable struct {
	blocks  []OldBlock
	entries []byte // of records, as they will stand in the footer
}

func (t *oldTable) records() int { return len(t.entries) / oldRecordSize }

// begin opens a block, whose place and size are filled in once they are known.
func (t *oldTable) begin(first LSN, timeMs int64) {
	t.blocks = append(t.blocks, OldBlock{First: first, MinTime: timeMs, Index: t.records()})
}

// add adds a record of the open block, at offset place of its raw bytes.
func (t *oldTable) add(lsn LSN, timeMs int64, place int) {
	block := &t.blocks[len(t.blocks)-1]
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(lsn-block.First))
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(timeMs-block.MinTime))
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(place>>3))
}

// appendFooter appends footer and trailer; at is where they will stand in the file.
func (t *oldTable) appendFooter(dst []byte, h OldHeader, minTime, maxTime, at int64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, footerHead)...)
	raw := uint64(0)
	for _, b := range t.blocks {
		raw += uint64(b.Raw)
		entry := len(dst)
		dst = append(dst, make([]byte, oldBlockSize)...)
		p := dst[entry:]
		binary.LittleEndian.PutUint64(p[oldBlockOffset:], uint64(b.Offset))
		binary.LittleEndian.PutUint64(p[oldBlockFirst:], uint64(b.First))
		binary.LittleEndian.PutUint64(p[oldBlockMin:], uint64(b.MinTime))
		binary.LittleEndian.PutUint32(p[oldBlockCompressed:], uint32(b.Compressed))
		binary.LittleEndian.PutUint32(p[oldBlockRaw:], uint32(b.Raw))
		binary.LittleEndian.PutUint32(p[oldBlockCRC:], b.CRC)
		binary.LittleEndian.PutUint32(p[oldBlockCount:], uint32(b.Count))
		binary.LittleEndian.PutUint32(p[oldBlockIndex:], uint32(b.Index))
	}
	p := dst[start:]
	binary.LittleEndian.PutUint64(p, oldFooterMagic)
	binary.LittleEndian.PutUint64(p[oldFooterEpoch:], h.Epoch)
	binary.LittleEndian.PutUint64(p[oldFooterFirst:], uint64(h.First))
	binary.LittleEndian.PutUint64(p[oldFooterLast:], uint64(h.Last))
	binary.LittleEndian.PutUint64(p[oldFooterMin:], uint64(minTime))
	binary.LittleEndian.PutUint64(p[oldFooterMax:], uint64(maxTime))
	binary.LittleEndian.PutUint64(p[oldFooterRaw:], raw)
	binary.LittleEndian.PutUint64(p[oldFooterEnd:], uint64(at))
	binary.LittleEndian.PutUint32(p[oldFooterBlocks:], uint32(len(t.blocks)))
	binary.LittleEndian.PutUint32(p[oldFooterRecords:], uint32(t.records()))
	dst = append(dst, t.entries...)
	for (len(dst)-start)&7 != 0 {
		dst = append(dst, 0)
	}
	return appendTrailer(dst, dst[start:], h.Epoch, at)
}

// OldFooter is a view of an old-generation file's tables, of which nothing holds but their sizes before Check has
// found them sound. It borrows the bytes it was parsed from.
type OldFooter struct {
	Epoch    uint64
	First    LSN // the file stands for all records First to Last
	Last     LSN
	MinTime  int64 // of the batches that it stands for, ms
	MaxTime  int64
	RawBytes int64 // of all records, before compression
	End      int64 // where the last block ends

	tables  tables
	blocks  []byte
	records []byte
}

// OldRecord is where a surviving record is.
type OldRecord struct {
	LSN   LSN
	Time  int64 // when the log took it in, ms
	Block int
	Place int // in the block's raw bytes
}

// ParseOldFooter finds the footer of an old-generation file and checks trailer and head; it reads no table. The
// error matches ErrCorrupt or ErrFormerFooter; the file may then still be scanned (ScanOld).
func ParseOldFooter(data []byte, epoch uint64) (OldFooter, error) {
	p, offset, err := footerOf(data, epoch)
	if err != nil {
		return OldFooter{}, err
	}
	return parseOldFooter(p, offset, epoch)
}

func parseOldFooter(p []byte, offset int, epoch uint64) (OldFooter, error) {
	f := OldFooter{
		Epoch:    binary.LittleEndian.Uint64(p[oldFooterEpoch:]),
		First:    LSN(binary.LittleEndian.Uint64(p[oldFooterFirst:])),
		Last:     LSN(binary.LittleEndian.Uint64(p[oldFooterLast:])),
		MinTime:  int64(binary.LittleEndian.Uint64(p[oldFooterMin:])),
		MaxTime:  int64(binary.LittleEndian.Uint64(p[oldFooterMax:])),
		RawBytes: int64(binary.LittleEndian.Uint64(p[oldFooterRaw:])),
		End:      int64(binary.LittleEndian.Uint64(p[oldFooterEnd:])),
		tables:   tablesOf(p, offset),
	}
	blocks := int(binary.LittleEndian.Uint32(p[oldFooterBlocks:]))
	records := int(binary.LittleEndian.Uint32(p[oldFooterRecords:]))
	behind := footerHead + oldBlockSize*blocks
	switch {
	case binary.LittleEndian.Uint64(p) != oldFooterMagic || f.Epoch != epoch:
		return OldFooter{}, corrupt(offset, 0, "not this file's footer")
	case f.First == 0 || f.Last < f.First:
		return OldFooter{}, corrupt(offset, 0, "footer's numbers out of bounds")
	case f.End < HeaderSize || f.End > int64(offset):
		return OldFooter{}, corrupt(offset, 0, "footer's data end out of bounds")
	case align(behind+oldRecordSize*records) != len(p):
		return OldFooter{}, corrupt(offset, 0, "footer length does not match its counts")
	}
	f.blocks = p[footerHead:behind]
	f.records = p[behind : behind+oldRecordSize*records]
	return f, nil
}

// Check reads the tables and looks at all that lookups rely on: checksum, bounds, and that numbers and times
// rise. The error matches ErrCorrupt.
func (f *OldFooter) Check() error {
	if err := f.tables.check(); err != nil {
		return err
	}
	if reason := f.disorder(); reason != "" {
		return corrupt(f.tables.at, 0, reason)
	}
	return nil
}

// disorder says what is not as it must be in tables that were read as they were written; empty when all is.
func (f *OldFooter) disorder() string {
	next, index, raw, previous := f.First, 0, int64(0), int64(-1<<63)
	for i := range f.Blocks() {
		b := f.block(i)
		if !b.sound(f.End) || b.Index != index || b.Count > f.Records()-index {
			return "footer's block out of bounds"
		}
		for n := range b.Count {
			r := f.recordOf(index+n, i, b)
			if r.LSN < next || r.LSN > f.Last || r.Time < previous || r.Place > b.Raw-RecordHeaderSize {
				return "footer's record out of bounds"
			}
			next, previous = r.LSN+1, r.Time
		}
		if f.recordOf(index, i, b).LSN != b.First {
			return "footer's block begins with another record"
		}
		index += b.Count
		raw += int64(b.Raw)
	}
	if index != f.Records() || raw != f.RawBytes {
		return "footer's blocks do not make up its counts"
	}
	return ""
}

// Blocks is the number of blocks.
func (f *OldFooter) Blocks() int { return len(f.blocks) / oldBlockSize }

// Records is the number of records that the file holds.
func (f *OldFooter) Records() int { return len(f.records) / oldRecordSize }

// Block returns the i-th block; i must be below Blocks. The tables stand in a mapping, and may have been damaged since
// they were checked: what they say then is wrong, and does not lead beyond them.
func (f *OldFooter) Block(i int) OldBlock {
	b := f.block(i)
	b.Index = min(b.Index, f.Records())
	b.Count = min(b.Count, f.Records()-b.Index)
	return b
}

func (f *OldFooter) block(i int) OldBlock {
	p := f.blocks[oldBlockSize*i:]
	return OldBlock{
		Offset:     int64(binary.LittleEndian.Uint64(p[oldBlockOffset:])),
		First:      LSN(binary.LittleEndian.Uint64(p[oldBlockFirst:])),
		MinTime:    int64(binary.LittleEndian.Uint64(p[oldBlockMin:])),
		Compressed: int(binary.LittleEndian.Uint32(p[oldBlockCompressed:])),
		Raw:        int(binary.LittleEndian.Uint32(p[oldBlockRaw:])),
		CRC:        binary.LittleEndian.Uint32(p[oldBlockCRC:]),
		Count:      int(binary.LittleEndian.Uint32(p[oldBlockCount:])),
		Index:      int(binary.LittleEndian.Uint32(p[oldBlockIndex:])),
	}
}

// Record returns where the i-th record is; i must be below Records.
func (f *OldFooter) Record(i int) OldRecord {
	block := max(0, sort.Search(f.Blocks(), func(n int) bool { return f.Block(n).Index > i })-1)
	return f.recordOf(i, block, f.Block(block))
}

func (f *OldFooter) recordOf(i, block int, b OldBlock) OldRecord {
	p := f.records[oldRecordSize*i:]
	return OldRecord{
		LSN:   b.First + LSN(binary.LittleEndian.Uint32(p[oldRecordLSN:])),
		Time:  b.MinTime + int64(binary.LittleEndian.Uint32(p[oldRecordTime:])),
		Block: block,
		Place: int(binary.LittleEndian.Uint32(p[oldRecordPlace:])) << 3,
	}
}

// Seek returns the index of the first record that is lsn or behind it; Records when there is none.
func (f *OldFooter) Seek(lsn LSN) int {
	block := sort.Search(f.Blocks(), func(n int) bool { return f.Block(n).First > lsn }) - 1
	if block < 0 {
		return 0
	}
	b := f.Block(block)
	return b.Index + sort.Search(b.Count, func(n int) bool { return f.recordOf(b.Index+n, block, b).LSN >= lsn })
}

// SeekTime returns the index of the first record taken in at ms or later; Records when there is none.
func (f *OldFooter) SeekTime(ms int64) int {
	return sort.Search(f.Records(), func(i int) bool { return f.Record(i).Time >= ms })
}

// RecordIn returns the record that at names, in the raw bytes of its block, which Block has checked. Whether a record
// begins there only its own checksum tells.
func (f *OldFooter) RecordIn(raw []byte, at OldRecord) (Record, error) {
	record, err := RecordAt(raw, at.Place)
	if err != nil || record.LSN() != at.LSN || !record.Valid() {
		return nil, corrupt(int(f.Block(at.Block).Offset), at.LSN, "footer has a wrong place for the record")
	}
	return record, nil
}
