package chart

import (
	"math"

	"gonum.org/v1/plot/vg"
)

// scale maps numbers to a line on the page, by their logarithm.
type scale struct {
	low, high float64 // logarithms to base 10
	from, to  vg.Length
}

// newScale covers all of the numbers that are more than nothing, with some room at both ends.
func newScale(values []float64, from, to vg.Length, room float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 && !math.IsInf(v, 0) {
			low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
		}
	}
	if low > high {
		low, high = 0, 1
	}
	spare := max((high-low)*room, 0.08, (0.5-(high-low))/2)
	return scale{low - spare, high + spare, from, to}
}

func (s scale) at(v float64) vg.Length {
	part := (math.Log10(v) - s.low) / (s.high - s.low)
	return s.from + vg.Length(part)*(s.to-s.from)
}

// ticks are round numbers on the scale, some four to nine of them: powers of ten, and between them if
// there are few.
func (s scale) ticks() []float64 {
	for _, steps := range [][]float64{{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 8}} {
		var ticks []float64
		for power := math.Floor(s.low); power <= math.Ceil(s.high); power++ {
			for _, step := range steps {
				if at := power + math.Log10(step); at >= s.low && at <= s.high {
					ticks = append(ticks, step*math.Pow(10, power))
				}
			}
		}
		if len(ticks) >= 4 {
			return ticks
		}
	}
	return nil
}
