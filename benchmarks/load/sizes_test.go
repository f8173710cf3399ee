package load

import (
	"slices"
	"strings"
	"testing"
)

func TestSizesAreReadFromTheirText(t *testing.T) {
	tests := []struct {
		text, said        string
		least, most, mean int
	}{
		{"1024", "1024", 1024, 1024, 1024},
		{"0", "0", 0, 0, 0},
		{"64KiB", "65536", 64 << 10, 64 << 10, 64 << 10},
		{"100-300", "100-300", 100, 300, 200},
		{"100:70,1000:25,65536:5", "100:70,1000:25,65536:5", 100, 65536, 3646},
		{"10-20:0.5,1MiB:0.5", "10-20:0.5,1048576:0.5", 10, 1 << 20, 524295},
	}
	for _, test := range tests {
		s, err := ParseSizes(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if s.String() != test.said || s.least() != test.least || s.most() != test.most || s.fixed() != (test.least == test.most) {
			t.Errorf("%s: %v, %d to %d", test.text, s.String(), s.least(), s.most())
		}
		if off := s.mean() - test.mean; off*20 > test.mean || off*20 < -test.mean {
			t.Errorf("%s: mean %d, want about %d", test.text, s.mean(), test.mean)
		}
	}
	for _, bad := range []string{"", "x", "-1", "5-3", "100:0", "100:-1", "100:x", "600MiB", "1,", "99999999999999999999", "100:NaN"} {
		if s, err := ParseSizes(bad); err == nil || !strings.Contains(err.Error(), "size") {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
}

// A sample has as much of each part as its weight says, and no pattern.
func TestSizesAreSpreadByWeight(t *testing.T) {
	s, err := ParseSizes("100:70,200-299:25,1000:5")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]int{}
	sample := s.sample(1000)
	for _, n := range sample {
		if n >= 200 && n < 300 {
			n = 200
		}
		counts[n]++
	}
	if counts[100] != 700 || counts[200] != 250 || counts[1000] != 50 || len(sample) != 1000 {
		t.Errorf("of 1000: %v", counts)
	}
	if slices.IsSorted(sample) {
		t.Error("small ones come first")
	}
	if !slices.Equal(sample, s.sample(1000)) {
		t.Error("another time it is another sample")
	}
}
