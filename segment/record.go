package segment

import "encoding/binary"

// Layout of a record; see docs/format.md.
const (
	recordLength = 0  // u32, with this prefix, without padding
	recordCRC    = 4  // u32
	recordLSN    = 8  // u64
	recordTime   = 16 // i64 ms
	recordKind   = 24 // u8
	recordFlags  = 25 // u8
	recordKeys   = 26 // u16, publish only
	recordVHost  = 28 // u32

	// RecordHeaderSize is the length of a record's fixed part.
	RecordHeaderSize = 32
	// MaxRecord is the largest record, with its fixed part.
	MaxRecord = MaxBatch - BatchHeaderSize
)

// Record is a view of one record's bytes. It is borrowed: it holds as long as the memory it was
// taken from, for records of a log until the view or cursor that gave it is released.
// A Record comes from RecordAt, which has checked its bounds; the methods need no further check.
type Record []byte

// RecordAt returns the record at offset without looking at its checksum: the prefix must lie within
// data and the length must be possible.
func RecordAt(data []byte, offset int) (Record, error) {
	if offset < 0 || offset > len(data)-RecordHeaderSize {
		return nil, corrupt(offset, 0, "record beyond the data")
	}
	length := int(binary.LittleEndian.Uint32(data[offset:]))
	if length < RecordHeaderSize || length > len(data)-offset {
		return nil, corrupt(offset, 0, "record length out of bounds")
	}
	return Record(data[offset : offset+length : offset+length]), nil
}

// LSN is the record's number.
func (r Record) LSN() LSN { return LSN(binary.LittleEndian.Uint64(r[recordLSN:])) }

// Time is the milliseconds since 1970 that the record's maker gave it.
func (r Record) Time() int64 { return int64(binary.LittleEndian.Uint64(r[recordTime:])) }

// Kind says what the payload is.
func (r Record) Kind() Kind { return Kind(r[recordKind]) }

// Flags are the record's bits.
func (r Record) Flags() Flags { return Flags(r[recordFlags]) }

// VHost is the number of the virtual host that the record belongs to.
func (r Record) VHost() uint32 { return binary.LittleEndian.Uint32(r[recordVHost:]) }

// Payload is everything after the fixed part.
func (r Record) Payload() []byte { return r[RecordHeaderSize:] }

// Valid reports whether the checksum holds.
func (r Record) Valid() bool {
	return r.checksum() == binary.LittleEndian.Uint32(r[recordCRC:])
}

func (r Record) checksum() uint32 {
	crc := checksum(r[recordTime:])
	crc = extend(crc, r[recordLSN:recordTime])
	return extend(crc, r[recordLength:recordCRC])
}
