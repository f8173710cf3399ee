package segment

import (
	"encoding/binary"
	"fmt"
)

// HeaderSize is the length of a file's header: a page of its own, so that a torn first batch cannot damage it.
const HeaderSize = 4096

// Layout of what the header of each kind of file begins with. The places of magic, version, length and checksum
// hold for every future version, so that any build can tell "newer" from "damaged".
const (
	headerVersion  = 8  // u32
	headerLength   = 12 // u32
	headerCRC      = 16 // u32 over all the header but itself
	headerShard    = 20 // u32
	headerRequired = 24 // u64
	headerOptional = 32 // u64
	headerEpoch    = 40 // u64
	headerMax      = 1 << 20
)

// prelude is what the header of each kind of file begins with. Its own fields stand behind.
type prelude struct {
	version, shard            uint32
	required, optional, epoch uint64
}

// headerKind is in what the headers of two kinds of file differ.
type headerKind struct {
	magic    string
	version  uint32 // the one that is written; all up to it are read
	required uint64 // the required feature bits that this build understands
	end      int    // the fields of a header end here
}

// begin appends a page that says p. The caller fills in the fields of its own and seals the page.
func (k *headerKind) begin(dst []byte, p prelude) (out, page []byte) {
	out = append(dst, make([]byte, HeaderSize)...)
	page = out[len(dst):]
	copy(page, k.magic)
	binary.LittleEndian.PutUint32(page[headerVersion:], k.version)
	binary.LittleEndian.PutUint32(page[headerLength:], HeaderSize)
	binary.LittleEndian.PutUint32(page[headerShard:], p.shard)
	binary.LittleEndian.PutUint64(page[headerRequired:], p.required)
	binary.LittleEndian.PutUint64(page[headerOptional:], p.optional)
	binary.LittleEndian.PutUint64(page[headerEpoch:], p.epoch)
	return out, page
}

// sealHeader makes a page whole: nothing in it may change any more.
func sealHeader(page []byte) {
	binary.LittleEndian.PutUint32(page[headerCRC:], headerChecksum(page))
}

// parse checks all of a header but the fields of its own, which it leaves to the caller.
func (k *headerKind) parse(page []byte) (prelude, error) {
	if len(page) < k.end || string(page[:len(k.magic)]) != k.magic {
		return prelude{}, ErrFormat
	}
	length := binary.LittleEndian.Uint32(page[headerLength:])
	if int64(length) < int64(k.end) || length > headerMax || int(length) > len(page) {
		return prelude{}, corrupt(headerLength, 0, "header length out of bounds")
	}
	page = page[:length]
	if headerChecksum(page) != binary.LittleEndian.Uint32(page[headerCRC:]) {
		return prelude{}, corrupt(0, 0, "header checksum mismatch")
	}
	p := prelude{
		version:  binary.LittleEndian.Uint32(page[headerVersion:]),
		shard:    binary.LittleEndian.Uint32(page[headerShard:]),
		required: binary.LittleEndian.Uint64(page[headerRequired:]),
		optional: binary.LittleEndian.Uint64(page[headerOptional:]),
		epoch:    binary.LittleEndian.Uint64(page[headerEpoch:]),
	}
	if p.version > k.version {
		return prelude{}, fmt.Errorf("%w: found version %d, this build reads up to %d: a newer millrace is needed",
			ErrVersion, p.version, k.version)
	}
	if unknown := p.required &^ k.required; unknown != 0 {
		return prelude{}, fmt.Errorf("%w: bits %#x: a newer millrace is needed", ErrFeature, unknown)
	}
	if p.version == 0 || length != HeaderSize {
		return prelude{}, errImpossibleHeader
	}
	return p, nil
}

// errImpossibleHeader refuses what no build can have written, though the checksum holds.
var errImpossibleHeader = corrupt(0, 0, "impossible header field")

func headerChecksum(page []byte) uint32 {
	return extend(checksum(page[:headerCRC]), page[headerCRC+4:])
}
