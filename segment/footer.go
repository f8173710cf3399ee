package segment

import (
	"encoding/binary"
	"slices"
)

// Layout of the footer, which ends where the trailer begins. Behind its head stand the tables: the places of
// records (u32 in units of eight bytes; zero = the record is lost) and the list of route-set records (u32, record
// number minus first). Head and tables have a checksum each, so that a start of the log can do with the heads.
const (
	footerMagic  = 0x315F_544F_4F46_524D // "MRFOOT_1"
	footerEpoch  = 8                     // u64
	footerFirst  = 16                    // u64
	footerLast   = 24                    // u64, first-1 when there is no record
	footerCount  = 32                    // u32
	footerSets   = 36                    // u32
	footerMin    = 40                    // i64 ms
	footerMax    = 48                    // i64 ms
	footerSynced = 56                    // u64
	footerEnd    = 64                    // u64
	footerFlags  = 72                    // u32, bit 0: closed in good order
	footerTables = 76                    // u32 checksum of the tables, to the end of the footer
	footerHead   = 80

	footerClosed = 1 // of footerFlags; unknown flags are ignored
)

// Layout of the trailer: the last TrailerSize bytes of a sealed file.
const (
	trailerMagic  = 0x325F_4C49_4152_544D // "MTRAIL_2"
	formerMagic   = 0x315F_4C49_4152_544D // "MTRAIL_1": of a footer that had one checksum for head and tables
	trailerEpoch  = 8                     // u64
	trailerFooter = 16                    // u64 offset
	trailerLength = 24                    // u64 of the footer
	trailerCRC    = 32                    // u32 of the footer's head
	trailerSelf   = 36                    // u32 of the trailer up to here

	// TrailerSize is the length of the trailer.
	TrailerSize = 64
)

// Summary is what a footer says of the segment as a whole.
type Summary struct {
	Epoch   uint64
	First   LSN // the segment's base
	Last    LSN // First-1 when there is no record
	MinTime int64
	MaxTime int64 // of batches, ms; both zero when there is none
	Synced  LSN   // highest watermark known when the footer was written
	End     int64 // where the last batch ends
	Closed  bool  // the log was closed in good order with this segment as its newest
}

// Count is the number of records, lost ones included.
func (s Summary) Count() int { return int(s.Last + 1 - s.First) }

// Footer is a view of a sealed segment's tables, of which nothing holds before Check has found them sound. It
// borrows the bytes it was parsed from.
type Footer struct {
	Summary
	tables tables
	table  []byte
	sets   []byte
}

// tables is what stands behind a footer's head.
type tables struct {
	bytes []byte
	crc   uint32 // what the head says
	at    int    // offset in the file
}

func (t tables) check() error {
	if checksum(t.bytes) != t.crc {
		return corrupt(t.at, 0, "footer's tables: checksum mismatch")
	}
	return nil
}

// FooterSize returns the bytes that footer and trailer take for so many records and route sets.
func FooterSize(records, sets int) int64 {
	return int64(align(footerHead+4*records+4*sets) + TrailerSize)
}

// AppendFooter appends footer and trailer for a segment written through offsets; at is the offset in
// the file where they will stand. sets holds the route-set records' numbers minus first.
func AppendFooter(dst []byte, s Summary, offsets *Offsets, sets []uint32, at int64) []byte {
	return appendFooter(dst, s, sets, at, offsets.appendTable)
}

// AppendScannedFooter is AppendFooter for places found by a scan.
func AppendScannedFooter(dst []byte, s Summary, places, sets []uint32, at int64) []byte {
	return appendFooter(dst, s, sets, at, func(dst []byte) []byte { return appendUint32s(dst, places) })
}

func appendFooter(dst []byte, s Summary, sets []uint32, at int64, table func([]byte) []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, int(FooterSize(s.Count(), len(sets))))
	dst = append(dst, make([]byte, footerHead)...)
	p := dst[start:]
	binary.LittleEndian.PutUint64(p, footerMagic)
	binary.LittleEndian.PutUint64(p[footerEpoch:], s.Epoch)
	binary.LittleEndian.PutUint64(p[footerFirst:], uint64(s.First))
	binary.LittleEndian.PutUint64(p[footerLast:], uint64(s.Last))
	binary.LittleEndian.PutUint32(p[footerCount:], uint32(s.Count()))
	binary.LittleEndian.PutUint32(p[footerSets:], uint32(len(sets)))
	binary.LittleEndian.PutUint64(p[footerMin:], uint64(s.MinTime))
	binary.LittleEndian.PutUint64(p[footerMax:], uint64(s.MaxTime))
	binary.LittleEndian.PutUint64(p[footerSynced:], uint64(s.Synced))
	binary.LittleEndian.PutUint64(p[footerEnd:], uint64(s.End))
	if s.Closed {
		binary.LittleEndian.PutUint32(p[footerFlags:], footerClosed)
	}
	dst = appendUint32s(table(dst), sets)
	for (len(dst)-start)&7 != 0 {
		dst = append(dst, 0)
	}
	return appendTrailer(dst, dst[start:], s.Epoch, at)
}

// appendTrailer appends the trailer of a footer that will stand at offset at of its file, once it has put the
// checksum of the tables into the footer's head.
func appendTrailer(dst, footer []byte, epoch uint64, at int64) []byte {
	binary.LittleEndian.PutUint32(footer[footerTables:], checksum(footer[footerHead:]))
	dst = append(dst, make([]byte, TrailerSize)...)
	t := dst[len(dst)-TrailerSize:]
	binary.LittleEndian.PutUint64(t, trailerMagic)
	binary.LittleEndian.PutUint64(t[trailerEpoch:], epoch)
	binary.LittleEndian.PutUint64(t[trailerFooter:], uint64(at))
	binary.LittleEndian.PutUint64(t[trailerLength:], uint64(len(footer)))
	binary.LittleEndian.PutUint32(t[trailerCRC:], checksum(footer[:footerHead]))
	binary.LittleEndian.PutUint32(t[trailerSelf:], checksum(t[:trailerSelf]))
	return dst
}

// ParseFooter finds the footer of a whole sealed file and checks trailer and head; it reads no table. An unsealed
// file, or one whose trailer is a former use's, gives an error that matches ErrCorrupt, and one with a footer of the
// layout before this ErrFormerFooter: the caller scans instead.
func ParseFooter(data []byte, epoch uint64) (Footer, error) {
	p, offset, err := footerOf(data, epoch)
	if err != nil {
		return Footer{}, err
	}
	return parseFooter(p, offset, epoch)
}

// footerOf follows the trailer of a file to the footer and checks the trailer and the footer's head.
func footerOf(data []byte, epoch uint64) (footer []byte, offset int, err error) {
	at := len(data) - TrailerSize
	if at < HeaderSize {
		return nil, 0, corrupt(max(at, 0), 0, "no room for a trailer")
	}
	t := data[at:]
	magic := binary.LittleEndian.Uint64(t)
	if magic != trailerMagic && magic != formerMagic ||
		binary.LittleEndian.Uint32(t[trailerSelf:]) != checksum(t[:trailerSelf]) {
		return nil, 0, corrupt(at, 0, "no trailer")
	}
	if binary.LittleEndian.Uint64(t[trailerEpoch:]) != epoch {
		return nil, 0, corrupt(at, 0, "trailer of another epoch")
	}
	if magic == formerMagic {
		return nil, 0, ErrFormerFooter
	}
	start, length := binary.LittleEndian.Uint64(t[trailerFooter:]), binary.LittleEndian.Uint64(t[trailerLength:])
	if start < HeaderSize || start > uint64(at) || length != uint64(at)-start || length < footerHead {
		return nil, 0, corrupt(at, 0, "footer out of bounds")
	}
	footer = data[start:at]
	if checksum(footer[:footerHead]) != binary.LittleEndian.Uint32(t[trailerCRC:]) {
		return nil, 0, corrupt(int(start), 0, "footer checksum mismatch")
	}
	return footer, int(start), nil
}

func parseFooter(p []byte, offset int, epoch uint64) (Footer, error) {
	count := int(binary.LittleEndian.Uint32(p[footerCount:]))
	sets := int(binary.LittleEndian.Uint32(p[footerSets:]))
	f := Footer{Summary: Summary{
		Epoch:   binary.LittleEndian.Uint64(p[footerEpoch:]),
		First:   LSN(binary.LittleEndian.Uint64(p[footerFirst:])),
		Last:    LSN(binary.LittleEndian.Uint64(p[footerLast:])),
		MinTime: int64(binary.LittleEndian.Uint64(p[footerMin:])),
		MaxTime: int64(binary.LittleEndian.Uint64(p[footerMax:])),
		Synced:  LSN(binary.LittleEndian.Uint64(p[footerSynced:])),
		End:     int64(binary.LittleEndian.Uint64(p[footerEnd:])),
		Closed:  binary.LittleEndian.Uint32(p[footerFlags:])&footerClosed != 0,
	}, tables: tablesOf(p, offset)}
	switch {
	case binary.LittleEndian.Uint64(p) != footerMagic || f.Epoch != epoch:
		return Footer{}, corrupt(offset, 0, "not this segment's footer")
	case f.First == 0 || f.Last+1-f.First != LSN(count):
		return Footer{}, corrupt(offset, 0, "footer's numbers do not match its count")
	case f.End < HeaderSize || f.End > int64(offset):
		return Footer{}, corrupt(offset, 0, "footer's data end out of bounds")
	case align(footerHead+4*count+4*sets) != len(p):
		return Footer{}, corrupt(offset, 0, "footer length does not match its counts")
	}
	f.table = p[footerHead : footerHead+4*count]
	f.sets = p[footerHead+4*count : footerHead+4*count+4*sets]
	return f, nil
}

// tablesOf finds what stands behind the head of the footer p at an offset of its file.
func tablesOf(p []byte, offset int) tables {
	return tables{p[footerHead:], binary.LittleEndian.Uint32(p[footerTables:]), offset + footerHead}
}

// Check reads the tables, on which At and Set rely. The error matches ErrCorrupt.
func (f *Footer) Check() error { return f.tables.check() }

// At returns the place of record number First+i, 0 when the record is lost; i must be below Count.
func (f *Footer) At(i int) int64 {
	return int64(binary.LittleEndian.Uint32(f.table[4*i:])) << 3
}

// SetCount is the number of route-set records.
func (f *Footer) SetCount() int { return len(f.sets) / 4 }

// Set returns the i-th route-set record's number minus First.
func (f *Footer) Set(i int) int { return int(binary.LittleEndian.Uint32(f.sets[4*i:])) }

func appendUint32s(dst []byte, values []uint32) []byte {
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return dst
}

// TrailerEpoch returns the epoch that a sound trailer gives, for a file whose header is damaged.
func TrailerEpoch(data []byte) (epoch uint64, sound bool) {
	at := len(data) - TrailerSize
	if at < HeaderSize {
		return 0, false
	}
	t := data[at:]
	return binary.LittleEndian.Uint64(t[trailerEpoch:]),
		binary.LittleEndian.Uint64(t) == trailerMagic &&
			binary.LittleEndian.Uint32(t[trailerSelf:]) == checksum(t[:trailerSelf])
}
