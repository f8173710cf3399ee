package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Layout of a block header of an old-generation file; the compressed records follow, padded to eight bytes.
const (
	blockMagic      = 0x424F_4DB7 // bytes B7 'M' 'O' 'B'
	blockCRC        = 4           // u32 of the header from blockEpoch on
	blockEpoch      = 8           // u64
	blockFirst      = 16          // u64
	blockLast       = 24          // u64
	blockMin        = 32          // i64 ms
	blockMax        = 40          // i64 ms
	blockCompressed = 48          // u32
	blockRaw        = 52          // u32
	blockRawCRC     = 56          // u32
	blockCount      = 60          // u32
	blockFlags      = 64          // u32, bit 0: the last block
	blockUnused     = 68          // u32, zero

	blockHeaderSize = 72
	blockFinal      = 1 // of blockFlags; unknown flags are ignored

	blockTarget = 256 << 10 // raw bytes after which a block is closed
	maxRatio    = 1 << 16   // zstd cannot do better; a greater one is damage
)

// OldBlock says where the records of one block are and what must come out of it.
type OldBlock struct {
	Offset     int64 // of the compressed bytes in the file
	First      LSN   // first record in it
	MinTime    int64 // when the first was taken in, ms
	Compressed int
	Raw        int
	CRC        uint32 // of the raw bytes
	Count      int    // records in it
	Index      int    // how many records stand in blocks before it
}

// blockHeader is a block with what only its header says.
type blockHeader struct {
	OldBlock
	last    LSN
	maxTime int64
	final   bool // no block comes behind it
}

// parseBlockHeader reads the block header at offset at; false when none of the file's is there.
func parseBlockHeader(data []byte, at int, epoch uint64) (blockHeader, bool) {
	if at < 0 || at > len(data)-blockHeaderSize {
		return blockHeader{}, false
	}
	p := data[at : at+blockHeaderSize]
	if binary.LittleEndian.Uint32(p) != blockMagic || binary.LittleEndian.Uint64(p[blockEpoch:]) != epoch ||
		checksum(p[blockEpoch:]) != binary.LittleEndian.Uint32(p[blockCRC:]) {
		return blockHeader{}, false
	}
	b := OldBlock{
		Offset:     int64(at + blockHeaderSize),
		First:      LSN(binary.LittleEndian.Uint64(p[blockFirst:])),
		MinTime:    int64(binary.LittleEndian.Uint64(p[blockMin:])),
		Compressed: int(binary.LittleEndian.Uint32(p[blockCompressed:])),
		Raw:        int(binary.LittleEndian.Uint32(p[blockRaw:])),
		CRC:        binary.LittleEndian.Uint32(p[blockRawCRC:]),
		Count:      int(binary.LittleEndian.Uint32(p[blockCount:])),
	}
	h := blockHeader{
		OldBlock: b,
		last:     LSN(binary.LittleEndian.Uint64(p[blockLast:])),
		maxTime:  int64(binary.LittleEndian.Uint64(p[blockMax:])),
		final:    binary.LittleEndian.Uint32(p[blockFlags:])&blockFinal != 0,
	}
	return h, b.sound(int64(len(data))) && h.last >= b.First && uint64(h.last-b.First) >= uint64(b.Count-1)
}

// sound reports whether a block can be one of a file whose blocks end at end.
func (b OldBlock) sound(end int64) bool {
	return b.First > 0 && b.Count > 0 && b.Compressed > 0 && b.Offset >= HeaderSize && b.Offset <= end-int64(b.Compressed) &&
		b.Raw <= MaxBatch && b.Count <= b.Raw/RecordHeaderSize && b.Raw/maxRatio <= b.Compressed
}

// OldDecoder decompresses blocks; any number of goroutines may use it at once.
type OldDecoder struct{ zstd *zstd.Decoder }

// NewOldDecoder returns a decoder; Close gives its memory back.
func NewOldDecoder() (*OldDecoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBatch))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &OldDecoder{d}, nil
}

// Close ends the decoder; it must not be in use.
func (d *OldDecoder) Close() { d.zstd.Close() }

// Block decompresses a block of the file into memory of its own and checks it. The error matches ErrCorrupt.
func (d *OldDecoder) Block(file []byte, b OldBlock) ([]byte, error) {
	if !b.sound(int64(len(file))) {
		return nil, corrupt(int(b.Offset), b.First, "block out of bounds")
	}
	raw, err := d.zstd.DecodeAll(file[b.Offset:b.Offset+int64(b.Compressed)], make([]byte, 0, b.Raw))
	switch {
	case err != nil:
		return nil, corrupt(int(b.Offset), b.First, "block does not decompress: "+err.Error())
	case len(raw) != b.Raw:
		return nil, corrupt(int(b.Offset), b.First, "block has another length than it should")
	case checksum(raw) != b.CRC:
		return nil, corrupt(int(b.Offset), b.First, "block checksum mismatch")
	}
	return raw, nil
}
