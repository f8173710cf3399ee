package archive

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// magic begins an archive; the last octet is the format's version. An archive of another version is refused.
const magic = "MRARCHV\x01"

// Layout of a block's head; docs/archive.md. Integers are little endian.
const (
	blockMagic  = 0  // 4 octets
	blockType   = 4  // u8
	blockFlags  = 5  // u8
	blockZero   = 6  // u16
	blockNumber = 8  // u32, counts from 0
	blockStored = 12 // u32, octets of the payload that follow
	blockRaw    = 16 // u32, octets of the payload before compression
	blockCRC    = 20 // u32, of the payload as it is stored
	blockOwnCRC = 24 // u32, of the 24 octets before

	blockHeadSize = 28
)

// beginning marks a block, so that the next one is found behind a damaged head.
const beginning = "\xb7MRB"

// The types of blocks.
const (
	typeHead     = 1
	typeMessages = 2
	typeEnd      = 3
)

// The flags of a block.
const (
	flagZstd     = 1 // the payload is a zstd frame
	flagOptional = 2 // a reader that does not know the type may pass over it

	knownFlags = flagZstd | flagOptional
)

const (
	// fullBlock is from how many octets on a block of messages is written.
	fullBlock = 1 << 20
	// maxBlock is the most that a block may have, compressed or not: a record of the log and its names.
	maxBlock = 1<<30 + 1<<20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// block is a block's head.
type block struct {
	kind, flags uint8
	number      uint32
	stored, raw uint32
	crc         uint32
}

func (b *block) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, beginning...)
	dst = append(dst, b.kind, b.flags, 0, 0)
	for _, n := range []uint32{b.number, b.stored, b.raw, b.crc} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// parseBlock reads the head at the beginning of data, which has one's size, and reports whether it is sound.
func parseBlock(data []byte) (b block, ok bool) {
	if string(data[:blockType]) != beginning ||
		crc32.Checksum(data[:blockOwnCRC], castagnoli) != binary.LittleEndian.Uint32(data[blockOwnCRC:]) {
		return block{}, false
	}
	b = block{
		kind: data[blockType], flags: data[blockFlags],
		number: binary.LittleEndian.Uint32(data[blockNumber:]),
		stored: binary.LittleEndian.Uint32(data[blockStored:]),
		raw:    binary.LittleEndian.Uint32(data[blockRaw:]),
		crc:    binary.LittleEndian.Uint32(data[blockCRC:]),
	}
	return b, b.stored <= maxBlock && b.raw <= maxBlock
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
}
