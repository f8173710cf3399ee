package suite

import (
	"math"
	"strconv"
	"strings"
)

// thousands words a number with three digits or more, and thousands parted. What is missing is a dash.
func thousands(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	decimals := 0
	if v != 0 {
		decimals = max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0)
	}
	whole, rest, _ := strings.Cut(strconv.FormatFloat(v, 'f', min(decimals, 4), 64), ".")
	if rest != "" {
		rest = "." + rest
	}
	return parted(whole) + rest
}

// count words a whole number.
func count(n int) string { return parted(strconv.Itoa(n)) }

func parted(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// compact words a number in a chart: 1.2 M, 88 k, 0.55.
func compact(v float64) string {
	unit := ""
	switch {
	case v >= 999_500:
		v, unit = v/1e6, " M"
	case v >= 1000:
		v, unit = v/1e3, " k"
	}
	return digits(v) + unit
}

// digits is at most three digits, without zeros at the end.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := min(max(2-int(math.Floor(math.Log10(v))), 0), 6)
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// factor words a ratio: 13×, 2.4×.
func factor(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v >= 9.95:
		return parted(strconv.FormatFloat(v, 'f', 0, 64)) + "×"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + "×"
}

// table is one of markdown. Columns are aligned to the right, but for the first ones.
type table struct {
	text  strings.Builder
	left  int // columns of words
	title []string
}

func newTable(left int, title ...string) *table {
	t := &table{left: left, title: title}
	t.row(title...)
	marks := make([]string, len(title))
	for i := range marks {
		if marks[i] = "---"; i >= left {
			marks[i] = "---:"
		}
	}
	t.row(marks...)
	return t
}

func (t *table) row(cells ...string) {
	t.text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
