package segment

import (
	"encoding/binary"
	"fmt"
)

// OldVersion is the version of old-generation files that this package writes; it reads every version up to it.
const OldVersion = 1

// Layout of the header of an old-generation file, a page of its own. Up to the epoch it is a segment's, and
// the places of magic, version, length and checksum hold for every future version.
const (
	oldMagic   = "MILLROLD"
	oldEpoch   = 40 // u64
	oldFirst   = 48 // u64
	oldLast    = 56 // u64
	oldCreated = 64 // i64 ms
	oldFields  = 72
)

// knownOldRequired holds the required feature bits of old-generation files that this build understands.
const knownOldRequired uint64 = 0

// OldHeader is what the first page of an old-generation file says.
type OldHeader struct {
	Version  uint32
	Shard    uint32
	Required uint64 // feature bits that a reader must know
	Optional uint64 // feature bits that a reader may ignore
	Epoch    uint64 // high half: that of the last segment replaced; low half: random
	First    LSN    // the file stands for all records First to Last
	Last     LSN
	Created  int64 // ms
}

// AppendOldHeader appends the page that says h; the version is always OldVersion.
func AppendOldHeader(dst []byte, h OldHeader) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	p := dst[start:]
	copy(p, oldMagic)
	binary.LittleEndian.PutUint32(p[headerVersion:], OldVersion)
	binary.LittleEndian.PutUint32(p[headerLength:], HeaderSize)
	binary.LittleEndian.PutUint32(p[headerShard:], h.Shard)
	binary.LittleEndian.PutUint64(p[headerRequired:], h.Required)
	binary.LittleEndian.PutUint64(p[headerOptional:], h.Optional)
	binary.LittleEndian.PutUint64(p[oldEpoch:], h.Epoch)
	binary.LittleEndian.PutUint64(p[oldFirst:], uint64(h.First))
	binary.LittleEndian.PutUint64(p[oldLast:], uint64(h.Last))
	binary.LittleEndian.PutUint64(p[oldCreated:], uint64(h.Created))
	binary.LittleEndian.PutUint32(p[headerCRC:], headerChecksum(p))
	return dst
}

// ParseOldHeader reads the first page of an old-generation file. Its errors are those of ParseHeader.
func ParseOldHeader(p []byte) (OldHeader, error) {
	if len(p) < oldFields || string(p[:len(oldMagic)]) != oldMagic {
		return OldHeader{}, ErrFormat
	}
	length := binary.LittleEndian.Uint32(p[headerLength:])
	if length < oldFields || length > headerMax || int(length) > len(p) {
		return OldHeader{}, corrupt(headerLength, 0, "header length out of bounds")
	}
	p = p[:length]
	if headerChecksum(p) != binary.LittleEndian.Uint32(p[headerCRC:]) {
		return OldHeader{}, corrupt(0, 0, "header checksum mismatch")
	}
	h := OldHeader{
		Version:  binary.LittleEndian.Uint32(p[headerVersion:]),
		Shard:    binary.LittleEndian.Uint32(p[headerShard:]),
		Required: binary.LittleEndian.Uint64(p[headerRequired:]),
		Optional: binary.LittleEndian.Uint64(p[headerOptional:]),
		Epoch:    binary.LittleEndian.Uint64(p[oldEpoch:]),
		First:    LSN(binary.LittleEndian.Uint64(p[oldFirst:])),
		Last:     LSN(binary.LittleEndian.Uint64(p[oldLast:])),
		Created:  int64(binary.LittleEndian.Uint64(p[oldCreated:])),
	}
	if h.Version > OldVersion {
		return h, fmt.Errorf("%w: found old-generation version %d, this build reads up to %d: a newer millrace is needed",
			ErrVersion, h.Version, OldVersion)
	}
	if unknown := h.Required &^ knownOldRequired; unknown != 0 {
		return h, fmt.Errorf("%w: bits %#x: a newer millrace is needed", ErrFeature, unknown)
	}
	if h.Version == 0 || length != HeaderSize || h.First == 0 || h.Last < h.First {
		return h, corrupt(0, 0, "impossible header field")
	}
	return h, nil
}
