package segment

import (
	"hash/crc32"
	"math/bits"
	"testing"
)

func TestFoldsFollowFromThePolynomial(t *testing.T) {
	for i, distance := range []int{2048, 1536, 1024, 512, 384, 256, 128} {
		low, high := remainder(distance+32), remainder(distance-32)
		if folds[2*i] != low || folds[2*i+1] != high {
			t.Errorf("over %d bits: %#x and %#x, want %#x and %#x", distance, folds[2*i], folds[2*i+1], low, high)
		}
	}
}

// remainder is x^n modulo the polynomial, with its bits reversed as in the checksum, and shifted by one, which the
// product of two such numbers lacks.
func remainder(n int) uint64 {
	r := uint64(1)
	for range n {
		if r <<= 1; r>>32 != 0 {
			r ^= 1<<32 | uint64(bits.Reverse32(crc32.Castagnoli))
		}
	}
	return uint64(bits.Reverse32(uint32(r))) << 1
}
