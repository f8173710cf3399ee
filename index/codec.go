package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// valueVersion is the version of what is around a payload. What a payload looks like
// goes by formatVersion, which Open checks.
const valueVersion = 1

// envelopeLen is what a value has around its payload: version and checksum.
const envelopeLen = 1 + 4

// valueCRC covers the key as well, so that a value under another's key is damage.
func valueCRC(key, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, body)
}

// beginValue starts a value in dst; the payload is appended to what it returns.
func beginValue(dst []byte) []byte {
	return append(dst[:0], valueVersion)
}

// sealValue closes a value begun by beginValue.
func sealValue(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, valueCRC(key, value))
}

// openValue checks a stored value and returns its payload, which aliases it.
func openValue(key, value []byte) ([]byte, error) {
	if len(value) < envelopeLen {
		return nil, corruptf("key %x: value of %d bytes", key, len(value))
	}
	body, sum := value[:len(value)-4], binary.LittleEndian.Uint32(value[len(value)-4:])
	if crc := valueCRC(key, body); crc != sum {
		return nil, corruptf("key %x: checksum %08x, stored %08x", key, crc, sum)
	}
	// The checksum's place is the same in all versions, so that damage and
	// newness can be told apart.
	if body[0] > valueVersion {
		return nil, fmt.Errorf("%w: key %x: value version %d, known up to %d", ErrVersion, key, body[0], valueVersion)
	}
	if body[0] == 0 {
		return nil, corruptf("key %x: value version 0", key)
	}
	return body[1:], nil
}

// decoder reads a payload. Its first fault sticks: several values are read, then
// finish is asked once.
type decoder struct {
	rest []byte
	bad  string
}

func (d *decoder) fault(what string) {
	if d.bad == "" {
		d.bad = what
		d.rest = nil
	}
}

func (d *decoder) uvarint() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 {
		v := d.rest[0]
		d.rest = d.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fault("payload ends within a number")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// bounded reads a number that must not exceed limit.
func (d *decoder) bounded(limit uint64, what string) uint64 {
	v := d.uvarint()
	if v > limit {
		d.fault(what + " out of range")
		return 0
	}
	return v
}

func (d *decoder) bytes(n int) []byte {
	if len(d.rest) < n {
		d.fault("payload too short")
		return nil
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

// finish reports the first fault, or bytes left over.
func (d *decoder) finish(key []byte) error {
	if d.bad == "" && len(d.rest) > 0 {
		d.bad = fmt.Sprintf("%d bytes left over", len(d.rest))
	}
	if d.bad != "" {
		return corruptf("key %x: %s", key, d.bad)
	}
	return nil
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
