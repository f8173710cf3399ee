package segment

import (
	"encoding/binary"
	"iter"
)

// Layout of a batch header.
const (
	batchMagic  = 0x4252_4DB7 // bytes B7 'M' 'R' 'B'
	batchCRC    = 4           // u32 over the header from batchLength on, then every record's first eight bytes
	batchLength = 8           // u32 with this header, a multiple of eight
	batchCount  = 12          // u32
	batchEpoch  = 16          // u64
	batchFirst  = 24          // u64
	batchTime   = 32          // i64 ms
	batchTerm   = 40          // u64, zero today
	batchIndex  = 48          // u64, zero today
	batchSynced = 56          // u64
	batchFlags  = 64          // u32, zero today
	batchUnused = 68          // u32, zero today

	// BatchHeaderSize is the length of a batch header.
	BatchHeaderSize = 72
)

// BatchHeader is what a batch says of itself.
type BatchHeader struct {
	Length int    // bytes, with the header
	Count  int    // records
	Epoch  uint64 // of the segment it was written to
	First  LSN    // number of the first record
	Time   int64  // ms, given by the log, never decreasing
	Term   uint64 // of replication; zero today
	Index  uint64 // of replication; zero today
	Synced LSN    // everything up to here was synced when the batch was written
}

// Last is the number of the batch's last record.
func (h BatchHeader) Last() LSN { return h.First + LSN(h.Count) - 1 }

func putBatchHeader(p []byte, h BatchHeader) {
	binary.LittleEndian.PutUint32(p, batchMagic)
	binary.LittleEndian.PutUint32(p[batchLength:], uint32(h.Length))
	binary.LittleEndian.PutUint32(p[batchCount:], uint32(h.Count))
	binary.LittleEndian.PutUint64(p[batchEpoch:], h.Epoch)
	binary.LittleEndian.PutUint64(p[batchFirst:], uint64(h.First))
	binary.LittleEndian.PutUint64(p[batchTime:], uint64(h.Time))
	binary.LittleEndian.PutUint64(p[batchTerm:], h.Term)
	binary.LittleEndian.PutUint64(p[batchIndex:], h.Index)
	binary.LittleEndian.PutUint64(p[batchSynced:], uint64(h.Synced))
	binary.LittleEndian.PutUint32(p[batchFlags:], 0)
	binary.LittleEndian.PutUint32(p[batchUnused:], 0)
}

// BatchView is a batch whose header checksum holds: its records' places, lengths and checksums are
// as written. Whether each record's own bytes are is for Record.Valid to say.
type BatchView struct {
	BatchHeader
	Offset int // of the batch in its segment

	data []byte // the segment up to the batch's end
}

// ParseBatch checks the batch at offset. The error's reason tells what failed first.
func ParseBatch(data []byte, offset int, epoch uint64) (BatchView, error) {
	h, reason := parseBatchHeader(data, offset, epoch)
	if reason != "" {
		return BatchView{}, corrupt(offset, 0, reason)
	}
	view := BatchView{BatchHeader: h, Offset: offset, data: data[:offset+h.Length]}
	crc := checksum(data[offset+batchLength : offset+BatchHeaderSize])
	at := offset + BatchHeaderSize
	for range h.Count {
		record, err := RecordAt(view.data, at)
		if err != nil {
			return BatchView{}, err
		}
		crc = extend(crc, record[:recordLSN])
		at += align(len(record))
	}
	if at != len(view.data) {
		return BatchView{}, corrupt(offset, h.First, "records do not fill the batch")
	}
	if crc != binary.LittleEndian.Uint32(data[offset+batchCRC:]) {
		return BatchView{}, corrupt(offset, h.First, "batch checksum mismatch")
	}
	return view, nil
}

// Records yields the batch's records with their offsets in the segment.
func (v BatchView) Records() iter.Seq2[int, Record] {
	return func(yield func(int, Record) bool) {
		at := v.Offset + BatchHeaderSize
		for range v.Count {
			record, err := RecordAt(v.data, at)
			if err != nil || !yield(at, record) {
				return
			}
			at += align(len(record))
		}
	}
}

// parseBatchHeader reads the fields that stand in the header alone; a reason means it is none.
func parseBatchHeader(data []byte, offset int, epoch uint64) (BatchHeader, string) {
	if offset < 0 || offset&7 != 0 || offset > len(data)-BatchHeaderSize {
		return BatchHeader{}, "no room for a batch"
	}
	p := data[offset:]
	if binary.LittleEndian.Uint32(p) != batchMagic {
		return BatchHeader{}, "no batch"
	}
	if binary.LittleEndian.Uint64(p[batchEpoch:]) != epoch {
		return BatchHeader{}, "batch of another epoch"
	}
	h := BatchHeader{
		Length: int(binary.LittleEndian.Uint32(p[batchLength:])),
		Count:  int(binary.LittleEndian.Uint32(p[batchCount:])),
		Epoch:  epoch,
		First:  LSN(binary.LittleEndian.Uint64(p[batchFirst:])),
		Time:   int64(binary.LittleEndian.Uint64(p[batchTime:])),
		Term:   binary.LittleEndian.Uint64(p[batchTerm:]),
		Index:  binary.LittleEndian.Uint64(p[batchIndex:]),
		Synced: LSN(binary.LittleEndian.Uint64(p[batchSynced:])),
	}
	switch {
	case h.Length < BatchHeaderSize || h.Length > len(p) || h.Length > MaxBatch || h.Length&7 != 0:
		return h, "batch length out of bounds"
	case h.Count < 1 || h.Count > (h.Length-BatchHeaderSize)/RecordHeaderSize:
		return h, "batch count out of bounds"
	case h.First == 0 || h.Last() < h.First:
		return h, "batch numbers out of bounds"
	case binary.LittleEndian.Uint64(p[batchFlags:]) != 0:
		return h, "unknown batch flags"
	}
	return h, ""
}

// BatchEpoch returns the epoch that the bytes at offset give, sound or not; 0 when there is no room.
func BatchEpoch(data []byte, offset int) uint64 {
	if offset < 0 || offset > len(data)-BatchHeaderSize {
		return 0
	}
	return binary.LittleEndian.Uint64(data[offset+batchEpoch:])
}

// PeekBatch reads the batch header at offset without checking any checksum, for quick walks over
// batches that were checked before.
func PeekBatch(data []byte, offset int, epoch uint64) (BatchHeader, bool) {
	h, reason := parseBatchHeader(data, offset, epoch)
	return h, reason == ""
}
