package segment

import (
	"encoding/binary"
	"fmt"
)

// Version is the format version this package writes; it reads every version up to it.
const Version = 1

// HeaderSize is the length of the segment header: a page of its own, so that a torn first batch
// cannot damage it.
const HeaderSize = 4096

// Layout of the segment header. The places of magic, version, length and checksum hold for every
// future version, so that any build can tell "newer" from "damaged".
const (
	headerMagic    = "MILLRACE"
	headerVersion  = 8  // u32
	headerLength   = 12 // u32
	headerCRC      = 16 // u32 over all the header but itself
	headerShard    = 20 // u32
	headerRequired = 24 // u64
	headerOptional = 32 // u64
	headerEpoch    = 40 // u64
	headerBase     = 48 // u64
	headerCreated  = 56 // i64 ms
	headerFileSize = 64 // u64
	headerMax      = 1 << 20
)

// knownRequired holds the required feature bits that this build understands.
const knownRequired uint64 = 0

// Header is what the first page of a segment says.
type Header struct {
	Version  uint32
	Shard    uint32
	Required uint64 // feature bits that a reader must know
	Optional uint64 // feature bits that a reader may ignore
	Epoch    uint64 // unique per use of a file, increasing per shard
	Base     LSN    // number of the first record
	Created  int64  // ms
	FileSize int64  // size of the file when it was taken into use
}

// AppendHeader appends the page that says h; the version is always Version.
func AppendHeader(dst []byte, h Header) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	p := dst[start:]
	copy(p, headerMagic)
	binary.LittleEndian.PutUint32(p[headerVersion:], Version)
	binary.LittleEndian.PutUint32(p[headerLength:], HeaderSize)
	binary.LittleEndian.PutUint32(p[headerShard:], h.Shard)
	binary.LittleEndian.PutUint64(p[headerRequired:], h.Required)
	binary.LittleEndian.PutUint64(p[headerOptional:], h.Optional)
	binary.LittleEndian.PutUint64(p[headerEpoch:], h.Epoch)
	binary.LittleEndian.PutUint64(p[headerBase:], uint64(h.Base))
	binary.LittleEndian.PutUint64(p[headerCreated:], uint64(h.Created))
	binary.LittleEndian.PutUint64(p[headerFileSize:], uint64(h.FileSize))
	binary.LittleEndian.PutUint32(p[headerCRC:], headerChecksum(p))
	return dst
}

// ParseHeader reads the first page of a segment. Errors match ErrFormat (no segment), ErrCorrupt
// (damaged), ErrVersion or ErrFeature (sound, but this build is too old for it).
func ParseHeader(p []byte) (Header, error) {
	if len(p) < headerFileSize+8 || string(p[:len(headerMagic)]) != headerMagic {
		return Header{}, ErrFormat
	}
	length := binary.LittleEndian.Uint32(p[headerLength:])
	if length < headerFileSize+8 || length > headerMax || int(length) > len(p) {
		return Header{}, corrupt(headerLength, 0, "header length out of bounds")
	}
	p = p[:length]
	if headerChecksum(p) != binary.LittleEndian.Uint32(p[headerCRC:]) {
		return Header{}, corrupt(0, 0, "header checksum mismatch")
	}
	h := Header{
		Version:  binary.LittleEndian.Uint32(p[headerVersion:]),
		Shard:    binary.LittleEndian.Uint32(p[headerShard:]),
		Required: binary.LittleEndian.Uint64(p[headerRequired:]),
		Optional: binary.LittleEndian.Uint64(p[headerOptional:]),
		Epoch:    binary.LittleEndian.Uint64(p[headerEpoch:]),
		Base:     LSN(binary.LittleEndian.Uint64(p[headerBase:])),
		Created:  int64(binary.LittleEndian.Uint64(p[headerCreated:])),
		FileSize: int64(binary.LittleEndian.Uint64(p[headerFileSize:])),
	}
	if h.Version > Version {
		return h, fmt.Errorf("%w: found version %d, this build reads up to %d: a newer millrace is needed",
			ErrVersion, h.Version, Version)
	}
	if unknown := h.Required &^ knownRequired; unknown != 0 {
		return h, fmt.Errorf("%w: bits %#x: a newer millrace is needed", ErrFeature, unknown)
	}
	if h.Version == 0 || length != HeaderSize || h.Base == 0 {
		return h, corrupt(0, 0, "impossible header field")
	}
	return h, nil
}

func headerChecksum(p []byte) uint32 {
	return extend(checksum(p[:headerCRC]), p[headerCRC+4:])
}
