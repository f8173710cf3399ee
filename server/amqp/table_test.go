package amqp_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestTypeNamesAreRabbitMQs(t *testing.T) {
	for name, value := range allTypes() { // the keys are the names
		if got := amqp.TypeName(value); got != name {
			t.Errorf("%T: got %q, want %q", value, got, name)
		}
	}
	if got := amqp.TypeName(struct{}{}); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func TestRawValuesKnowTheirTypes(t *testing.T) {
	s := allTypes().Raw().Scan()
	n := 0
	for ; s.Next(); n++ {
		if got := s.Value().TypeName(); got != string(s.Key()) {
			t.Errorf("%s: got %q", s.Key(), got)
		}
		decoded, err := s.Value().Decode()
		if want := allTypes()[string(s.Key())]; err != nil || !reflect.DeepEqual(decoded, want) {
			t.Errorf("%s: got %v, %v, want %v", s.Key(), decoded, err, want)
		}
		number, isInt := s.Value().Int()
		if want, ok := amqp.Int(decoded); isInt != ok || number != want {
			t.Errorf("%s: as integer %d, %v, want %d, %v", s.Key(), number, isInt, want, ok)
		}
	}
	if err := s.Err(); err != nil || n != len(allTypes()) {
		t.Errorf("scanned %d fields, %v", n, err)
	}
}

func TestTablesAreEncodedInTheOrderOfTheirKeys(t *testing.T) {
	want := amqp.Table{"a": nil, "b": nil, "c": nil}.Raw()
	if string(want) != "\x01aV\x01bV\x01cV" {
		t.Fatalf("got %q", want)
	}
	for range 20 {
		if got := (amqp.Table{"c": nil, "a": nil, "b": nil}).Raw(); !bytes.Equal(got, want) {
			t.Fatalf("got %q", got)
		}
	}
}

// WIRE-12.
func TestLastOfDuplicateKeysCounts(t *testing.T) {
	raw := amqp.AppendField(nil, "k", "first")
	raw = amqp.AppendField(raw, "other", true)
	raw = amqp.AppendField(raw, "k", "last")
	v, found, err := amqp.RawTable(raw).Lookup("k")
	if s, ok := v.Longstr(); !found || err != nil || !ok || string(s) != "last" {
		t.Errorf("lookup: got %q, %v, %v", s, found, err)
	}
	if table, err := amqp.RawTable(raw).Decode(); err != nil || table["k"] != "last" {
		t.Errorf("decode: got %v, %v", table, err)
	}
	if _, found, err := amqp.RawTable(raw).Lookup("none"); found || err != nil {
		t.Errorf("missing key: got %v, %v", found, err)
	}
}

func TestFieldsCanBeRemovedAndAddedWithoutDecoding(t *testing.T) {
	raw := amqp.AppendField(nil, "CC", []any{"a"})
	raw = amqp.AppendField(raw, "BCC", []any{"b"})
	raw = amqp.AppendField(raw, "x", int16(1))
	raw = amqp.AppendField(raw, "BCC", "again")
	got, err := amqp.RawTable(raw).AppendWithout(nil, "BCC", "absent")
	if err != nil {
		t.Fatal(err)
	}
	got = amqp.AppendField(got, "new", true)
	want := amqp.AppendField(nil, "CC", []any{"a"})
	want = amqp.AppendField(want, "x", int16(1))
	want = amqp.AppendField(want, "new", true)
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := amqp.RawTable("\x01aZ").AppendWithout(nil, "b"); err == nil {
		t.Error("a malformed table went through")
	}
}

func TestNormalValuesHaveOneTypeForEachClass(t *testing.T) { // HEADERS-03
	got := amqp.Table{
		"i8": int8(1), "u8": uint8(1), "i16": int16(1), "u16": uint16(1), "i32": int32(1), "u32": uint32(1),
		"i64": int64(1), "int": 1, "f32": float32(1), "f64": float64(1), "s": "s", "b": true, "v": nil,
		"time":  time.Unix(7, 0),
		"table": amqp.Table{"i": int8(1)}, "map": map[string]any{"i": int8(1)}, "array": []any{uint8(1), "s"},
	}.Normal()
	want := map[string]any{
		"i8": int64(1), "u8": int64(1), "i16": int64(1), "u16": int64(1), "i32": int64(1), "u32": int64(1),
		"i64": int64(1), "int": int64(1), "f32": float64(1), "f64": float64(1), "s": "s", "b": true, "v": nil,
		"time":  amqp.Timestamp(7),
		"table": map[string]any{"i": int64(1)}, "map": map[string]any{"i": int64(1)}, "array": []any{int64(1), "s"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func nested(depth int) amqp.Table {
	t := amqp.Table{}
	for range depth - 1 {
		t = amqp.Table{"t": t}
	}
	return t
}

// rawNested encodes what the encoder refuses to.
func rawNested(depth int) amqp.RawTable {
	var raw amqp.RawTable
	for range depth - 1 {
		raw = raw.Append([]byte("\x01tF"))
	}
	return raw
}

func TestNestingIsBounded(t *testing.T) {
	const limit = 64
	if got, err := rawNested(limit).Decode(); err != nil || !reflect.DeepEqual(got, nested(limit)) {
		t.Errorf("at the limit: %v", err)
	}
	_, err := rawNested(limit + 1).Decode()
	wantError(t, err, amqp.SyntaxError, "SYNTAX_ERROR - malformed field table: nested too deeply", 0)
	if _, err := rawNested(10_000).Decode(); err == nil {
		t.Error("a very deep table decodes")
	}

	if err := nested(limit).Validate(); err != nil {
		t.Error(err)
	}
	deep := nested(limit + 1)
	if err := deep.Validate(); err == nil {
		t.Error("too deep a table is valid")
	}
	endless := amqp.Table{}
	endless["t"] = []any{endless}
	for _, table := range []amqp.Table{deep, endless} {
		if _, err := table.Raw().Decode(); err != nil {
			t.Errorf("encoding of too deep a table does not decode: %v", err)
		}
	}
}

func TestValidateFindsWhatNoTableHolds(t *testing.T) {
	for name, table := range map[string]amqp.Table{
		"type":       {"k": struct{}{}},
		"in array":   {"k": []any{1, uint64(1)}},
		"in table":   {"k": amqp.Table{"k": complex(1, 1)}},
		"in map":     {"k": map[string]any{"k": uint(1)}},
		"key length": {strings.Repeat("k", 256): 1},
	} {
		if err := table.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := table.Raw().Decode(); err != nil {
			t.Errorf("%s: encoding does not decode: %v", name, err)
		}
	}
	if err := allTypes().Validate(); err != nil {
		t.Error(err)
	}
}

var hostileTables = map[string]string{
	"empty":                "",
	"key past end":         "\x05key",
	"no value":             "\x01k",
	"unknown type":         "\x01kZ",
	"type of the standard": "\x01kU\x00\x01", // the 0-9-1 text's int16, not RabbitMQ's
	"string past end":      "\x01kS\x00\x00\x00\x02a",
	"string of 4 GiB":      "\x01kS\xff\xff\xff\xff",
	"array past end":       "\x01kA\x00\x00\x00\x02V",
	"element past end":     "\x01kA\x00\x00\x00\x02I\x00",
	"inner key past end":   "\x01kF\x00\x00\x00\x02\x09k",
	"half an integer":      "\x01kl\x00\x00\x00",
	"half a length":        "\x01kS\x00\x00",
	"no key":               "\x00V",
	"fields left over":     "\x01kt\x01\x01",
}

func TestMalformedTablesAreErrorsAndNeverPanics(t *testing.T) {
	for name, octets := range hostileTables {
		_, err := amqp.RawTable(octets).Decode()
		if valid := name == "empty" || name == "no key"; valid != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		var e *amqp.Error
		if err != nil && (!errors.As(err, &e) || e.Code != amqp.SyntaxError) {
			t.Errorf("%s: %v is no SYNTAX_ERROR", name, err)
		}
	}
}

// A value made by hand may be anything, a scanned one is whole.
func TestValuesMadeByHandDoNotPanic(t *testing.T) {
	for tag := range 256 {
		for size := range 10 {
			v := amqp.Value{Type: byte(tag), Data: make([]byte, size)}
			v.Int()
			v.Bool()
			if a, ok := v.Array(); ok {
				for a.Next() {
					a.Value()
				}
			}
			_, _ = v.Decode()
		}
	}
}

func TestTablesSurviveEncodingAndDecoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := amqp.Table(drawFields(t, 3))
		got, err := table.Raw().Decode()
		if err != nil || !reflect.DeepEqual(got, table) {
			t.Fatalf("got  %#v, %v\nwant %#v", got, err, table)
		}
	})
}

func drawFields(t *rapid.T, depth int) map[string]any {
	fields := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		fields[rapid.StringN(0, 20, 60).Draw(t, "key")] = drawValue(t, depth)
	}
	return fields
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 17
	if depth == 0 {
		kinds = 15
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Bool().Draw(t, "bool")
	case 1:
		return rapid.Int8().Draw(t, "byte")
	case 2:
		return rapid.Uint8().Draw(t, "unsignedbyte")
	case 3:
		return rapid.Int16().Draw(t, "short")
	case 4:
		return rapid.Uint16().Draw(t, "unsignedshort")
	case 5:
		return rapid.Int32().Draw(t, "signedint")
	case 6:
		return rapid.Uint32().Draw(t, "unsignedint")
	case 7:
		return rapid.Int64().Draw(t, "long")
	case 8:
		return rapid.Float32().Draw(t, "float")
	case 9:
		return rapid.Float64().Draw(t, "double")
	case 10:
		return amqp.Decimal{Scale: rapid.Uint8().Draw(t, "scale"), Value: rapid.Uint32().Draw(t, "value")}
	case 11:
		return rapid.String().Draw(t, "longstr")
	case 12:
		return append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "binary")...)
	case 13:
		return amqp.Timestamp(rapid.Uint64().Draw(t, "timestamp"))
	case 14:
		return nil
	case 15:
		return amqp.Table(drawFields(t, depth-1))
	}
	array := []any{}
	for range rapid.IntRange(0, 4).Draw(t, "values") {
		array = append(array, drawValue(t, depth-1))
	}
	return array
}

func FuzzTable(f *testing.F) {
	for name, octets := range hostileTables {
		f.Logf("seed: %s", name)
		f.Add([]byte(octets))
	}
	f.Add([]byte(allTypes().Raw()))
	f.Add([]byte(rawNested(65)))
	f.Fuzz(func(t *testing.T, octets []byte) {
		raw := amqp.RawTable(octets)
		_, _, lookupErr := raw.Lookup("k")
		if _, err := raw.AppendWithout(nil, "k"); (err == nil) != (lookupErr == nil) {
			t.Fatalf("lookup fails with %v, removal with %v", lookupErr, err)
		}
		table, err := raw.Decode()
		if err != nil {
			return // a nested table that is malformed fails here only
		}
		if lookupErr != nil {
			t.Fatalf("decodes, but lookup fails with %v", lookupErr)
		}
		if err := table.Validate(); err != nil {
			t.Fatalf("decoded table is not valid: %v", err)
		}
		if hasNaN(table) {
			return
		}
		again, err := table.Raw().Decode()
		if err != nil || !reflect.DeepEqual(again, table) {
			t.Fatalf("got %v, %v, want %v", again, err, table)
		}
	})
}

// hasNaN reports whether a value differs from itself.
func hasNaN(value any) bool {
	switch v := value.(type) {
	case float32:
		return math.IsNaN(float64(v))
	case float64:
		return math.IsNaN(v)
	case []any:
		for i := range v {
			if hasNaN(v[i]) {
				return true
			}
		}
	case amqp.Table:
		for key := range v {
			if hasNaN(v[key]) {
				return true
			}
		}
	}
	return false
}
