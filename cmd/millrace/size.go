package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag's number of bytes, written with a binary unit.
type size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"B", 1},
}

// sizeVar makes a flag's value of a number of bytes, which it sets to the default.
func sizeVar(bytes *int64, standard int64) *size {
	*bytes = standard
	return (*size)(bytes)
}

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, unit := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, unit.suffix); ok {
			number, factor = strings.TrimSpace(rest), unit.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return fmt.Errorf("%q is not a size; write it like 512KiB, 64MiB or 1GiB", text)
	}
	*s = size(n * factor)
	return nil
}

// String implements pflag.Value.
func (s *size) String() string {
	for _, unit := range sizeUnits {
		if n := int64(*s); n != 0 && n%unit.factor == 0 {
			return strconv.FormatInt(n/unit.factor, 10) + unit.suffix
		}
	}
	return "0"
}

// Type implements pflag.Value.
func (s *size) Type() string { return "size" }
