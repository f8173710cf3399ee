package router

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

// If this fails, messages go to other queues after an upgrade: the hash must not change (7.6).
func TestHashIsTheSameForEver(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64
	}{
		{"", 0xa706dd2f4d197e6f},
		{"a", 0x5e025f9ade9eaf3e},
		{"a\x00", 0xede5342098bcf0d6},
		{"12345678", 0x92df3520c5d00ece},
		{"12345678\x00", 0xc1213142e6ac05d7},
		{"order.created.4711", 0xacda8d6071aa5073},
	} {
		if got := hashOf([]byte(c.text)); got != c.want {
			t.Errorf("%q: %#x, want %#x", c.text, got, c.want)
		}
	}
}

func TestHashTellsTextsApart(t *testing.T) {
	seen := map[uint64]string{}
	check := func(text string) {
		h := hashOf([]byte(text))
		if other, ok := seen[h]; ok && other != text {
			t.Fatalf("%q and %q are %#x", text, other, h)
		}
		seen[h] = text
	}
	for i := range 100_000 {
		check(fmt.Sprint(i))
		check(fmt.Sprintf("customer-%08d.order", i))
	}
	for n := range 256 {
		check(strings.Repeat("\x00", n))
		check(strings.Repeat("a", n))
	}
}

// One bit of the text changes about half of the hash, wherever it stands.
func TestEachBitOfTheTextMatters(t *testing.T) {
	text := []byte("some.routing.key.of.usual.length")
	whole := hashOf(text)
	for bit := range 8 * len(text) {
		text[bit/8] ^= 1 << (bit % 8)
		if n := bits.OnesCount64(whole ^ hashOf(text)); n < 12 || n > 52 {
			t.Errorf("bit %d of the text changes %d bits of the hash", bit, n)
		}
		text[bit/8] ^= 1 << (bit % 8)
	}
}
