package segment

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// The standard library's checksum is the oracle of the folded one.
func TestChecksumIsTheStandardLibrarys(t *testing.T) {
	if !canFold {
		t.Skip("this machine does not fold")
	}
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 64<<10)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	check := func(crc uint32, p []byte) {
		t.Helper()
		if got, want := extend(crc, p), crc32.Update(crc, castagnoli, p); got != want {
			t.Fatalf("%d bytes after %08x: %08x, want %08x", len(p), crc, got, want)
		}
	}
	for n := range 1200 {
		for from := range 9 {
			check(0, p[from:from+n])
			check(random.Uint32(), p[from:from+n])
		}
	}
	for range 2000 {
		from := random.IntN(len(p))
		check(random.Uint32(), p[from:from+random.IntN(len(p)-from+1)])
	}
	for bit := range 8 * 600 { // each bit has its place
		q := make([]byte, 600)
		q[bit/8] = 1 << (bit % 8)
		check(0, q)
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add(uint32(0), make([]byte, 512))
	f.Fuzz(func(t *testing.T, crc uint32, p []byte) {
		if got, want := extend(crc, p), crc32.Update(crc, castagnoli, p); got != want {
			t.Errorf("%d bytes after %08x: %08x, want %08x", len(p), crc, got, want)
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{16, 256, 1130, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				checksum(p)
			}
		})
	}
}
