package router

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A codec's own types, as the router may be handed them.
type (
	codecTable map[string]any
	codecArray []any
	codecTime  uint64
	codecOther struct {
		Scale uint8
		Value uint32
	}
)

func (t codecTime) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// In each row all values are equal; values of different rows differ.
var classes = [][]any{
	{nil},
	{true},
	{false},
	{0, int8(0), int16(0), int32(0), int64(0), uint(0), uint8(0), uint16(0), uint32(0), uint64(0)},
	{-1, int8(-1), int64(-1)},
	{1, uint64(1)},
	{int64(math.MaxInt64), uint64(math.MaxInt64)},
	{uint64(math.MaxUint64), uint(math.MaxUint64)},
	{0.0, float32(0), math.Copysign(0, -1)},
	{1.0, float32(1)},
	{""},
	{"a"},
	{"1"},
	{[]byte{}},
	{[]byte("a")},
	{time.Unix(5, 0), time.Unix(5, 0).UTC(), codecTime(5)},
	{codecTime(math.MaxUint64)},
	{map[string]any{}, codecTable{}},
	{map[string]any{"a": 1, "b": "x"}, codecTable{"b": "x", "a": int8(1)}},
	{map[string]any{"a": map[string]any{"b": 1}}, codecTable{"a": codecTable{"b": int16(1)}}},
	{map[string]any{"ab": nil}},
	{[]any{}, codecArray{}},
	{[]any{1, "x"}, codecArray{int8(1), "x"}},
	{[]any{"x", 1}},
	{[]any{[]any{}}},
	{[]any{nil}},
	{codecOther{1, 2}},
	{codecOther{1, 3}},
}

func TestEqualityAndIdentityAgree(t *testing.T) { // HEADERS-03, EXCH-20
	for i, row := range classes {
		for j, other := range classes {
			for _, a := range row {
				for _, b := range other {
					if got, want := Equal(a, b), i == j; got != want {
						t.Errorf("Equal(%T %v, %T %v) = %v", a, a, b, b, got)
					}
					one, two := canonical(map[string]any{"k": a}), canonical(map[string]any{"k": b})
					if (one == two) != (i == j) {
						t.Errorf("canonical(%T %v) and canonical(%T %v): same is %v", a, a, b, b, one == two)
					}
				}
			}
		}
	}
	if canonical(nil) != canonical(map[string]any{}) {
		t.Error("no arguments differ from empty ones")
	}
}

// Values that cannot be compared must not bring the broker down.
func TestValuesThatCannotBeComparedAreUnequal(t *testing.T) {
	type odd struct{ f any }
	for _, v := range []any{odd{[]int{1}}, []int{1}, func() {}} {
		if Equal(v, v) {
			t.Errorf("%T equals itself", v)
		}
	}
}

func TestCanonicalTellsTablesApart(t *testing.T) {
	scalar := rapid.SampledFrom([]any{nil, true, 0, 1, 255, "", "a", "b", []byte("a"), 1.0, []any{}, []any{1, 2}})
	table := rapid.MapOfN(rapid.SampledFrom([]string{"", "a", "b", "ab"}), scalar, 0, 3)
	rapid.Check(t, func(rt *rapid.T) {
		a, b := table.Draw(rt, "a"), table.Draw(rt, "b")
		if (canonical(a) == canonical(b)) != Equal(a, b) {
			rt.Fatalf("%v and %v: %q and %q", a, b, canonical(a), canonical(b))
		}
	})
}

func TestTypeNamesAndTerms(t *testing.T) {
	for _, c := range []struct {
		value      any
		name, term string
	}{
		{nil, "void", "undefined"},
		{true, "bool", "true"},
		{int8(-1), "byte", "-1"},
		{uint8(1), "unsignedbyte", "1"},
		{int16(1), "short", "1"},
		{uint16(1), "unsignedshort", "1"},
		{int32(1), "signedint", "1"},
		{uint32(1), "unsignedint", "1"},
		{int64(1), "long", "1"},
		{1, "long", "1"},
		{float32(0.5), "float", "0.5"},
		{5.0, "double", "5.0"},
		{1e300, "double", "1.0e300"},
		{"foo", "longstr", `<<"foo">>`},
		{`a"\`, "longstr", `<<"a\"\\">>`},
		{"", "longstr", "<<>>"},
		{"\x00\x14", "longstr", "<<0,20>>"},
		{"\xff", "longstr", "<<255>>"},
		{[]byte("x"), "binary", `<<"x">>`},
		{time.Unix(7, 0), "timestamp", "7"},
		{codecTime(7), "timestamp", "7"},
		{map[string]any{"b": 1, "a": "x"}, "table", `[{<<"a">>,longstr,<<"x">>},{<<"b">>,long,1}]`},
		{codecTable{}, "table", "[]"},
		{[]any{"x", true}, "array", `[{longstr,<<"x">>},{bool,true}]`},
		{codecArray{}, "array", "[]"},
		{codecOther{}, "decimal", "{0 0}"},
	} {
		if name, text := TypeName(c.value), term(c.value); name != c.name || text != c.term {
			t.Errorf("%T %v: %s, %s; want %s, %s", c.value, c.value, name, text, c.name, c.term)
		}
	}
}
