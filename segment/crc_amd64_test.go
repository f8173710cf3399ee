package segment

import (
	"hash/crc32"
	"math/bits"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"
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

// A checksum that ended in a fault of the memory it read leaves registers as they were; the next must not care.
func TestChecksumAfterAFault(t *testing.T) {
	memory, err := unix.Mmap(-1, 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	for i := range memory {
		memory[i] = byte(7 * i)
	}
	sound := memory[:8<<10]
	if err := unix.Mprotect(memory[len(sound):], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	want := crc32.Checksum(sound, castagnoli)
	for from := range 300 {
		if !faults(func() { checksum(memory[from:]) }) {
			t.Fatal("what cannot be read was hashed")
		}
		if got := checksum(sound); got != want {
			t.Fatalf("fault after %d bytes: %08x, want %08x", len(sound)-from, got, want)
		}
	}
}

func faults(fn func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	fn()
	return false
}
