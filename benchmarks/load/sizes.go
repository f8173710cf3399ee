package load

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Sizes says how large bodies are: all the same, evenly spread over a range, or some of each.
type Sizes struct{ parts []sizePart }

// sizePart is a range of sizes, in bytes, both ends among them, and how much weight it has.
type sizePart struct {
	from, to int
	weight   float64
}

// Bytes is one size for all bodies.
func Bytes(n int) Sizes { return Sizes{[]sizePart{{n, n, 1}}} }

// ParseSizes reads "1024", a range "100-5000", or a distribution "100:70,1000:25,65536:5" whose weights
// need not add up to anything. Sizes may have a unit: KiB or MiB.
func ParseSizes(text string) (Sizes, error) {
	var s Sizes
	for field := range strings.SplitSeq(text, ",") {
		size, weight, weighted := strings.Cut(field, ":")
		from, to, isRange := strings.Cut(size, "-")
		part := sizePart{weight: 1}
		var err error
		if part.from, err = parseBytes(from); err != nil {
			return s, err
		}
		part.to = part.from
		if isRange {
			if part.to, err = parseBytes(to); err != nil {
				return s, err
			}
		}
		if weighted {
			if part.weight, err = strconv.ParseFloat(strings.TrimSpace(weight), 64); err != nil {
				return s, fmt.Errorf("%q is no weight of a size", weight)
			}
		}
		if part.from > part.to || !(part.weight > 0 && part.weight < 1e12) {
			return s, fmt.Errorf("%q is no size, range or weight", field)
		}
		s.parts = append(s.parts, part)
	}
	return s, nil
}

func parseBytes(text string) (int, error) {
	digits, unit := strings.TrimSpace(text), 1
	for name, factor := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(digits, name); ok {
			digits, unit = strings.TrimSpace(number), factor
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > maxSize/unit {
		return 0, fmt.Errorf("%q is no size of a body: bytes, KiB or MiB, up to %d", text, maxSize)
	}
	return n * unit, nil
}

// String is what ParseSizes reads.
func (s *Sizes) String() string {
	var fields []string
	for _, p := range s.parts {
		field := strconv.Itoa(p.from)
		if p.to != p.from {
			field += "-" + strconv.Itoa(p.to)
		}
		if len(s.parts) > 1 {
			field += ":" + strconv.FormatFloat(p.weight, 'g', -1, 64)
		}
		fields = append(fields, field)
	}
	return strings.Join(fields, ",")
}

// Set is ParseSizes for a flag.
func (s *Sizes) Set(text string) (err error) {
	*s, err = ParseSizes(text)
	return err
}

// Type is how a flag's usage names the value.
func (s *Sizes) Type() string { return "bytes" }

func (s *Sizes) least() int {
	return slices.MinFunc(s.parts, func(a, b sizePart) int { return cmp.Compare(a.from, b.from) }).from
}

func (s *Sizes) most() int {
	return slices.MaxFunc(s.parts, func(a, b sizePart) int { return cmp.Compare(a.to, b.to) }).to
}

// mean is the average size.
func (s *Sizes) mean() int {
	sum := 0
	for _, n := range s.sample(sizedSlots) {
		sum += n
	}
	return sum / sizedSlots
}

func (s *Sizes) fixed() bool { return s.least() == s.most() }

// sample returns n sizes that have the distribution as exactly as n can have it, in an order that has no
// pattern but is the same each time: the middles of n equal parts of it, shuffled.
func (s *Sizes) sample(n int) []int {
	var total float64
	for _, p := range s.parts {
		total += p.weight
	}
	sizes := make([]int, 0, n)
	for i := range n {
		at := (float64(i) + 0.5) / float64(n) * total
		for j, p := range s.parts {
			if at >= p.weight && j < len(s.parts)-1 {
				at -= p.weight
				continue
			}
			sizes = append(sizes, p.from+min(int(at/p.weight*float64(p.to-p.from+1)), p.to-p.from))
			break
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	return sizes
}
