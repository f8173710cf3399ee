package router

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// TypeName is the name RabbitMQ gives to a value's type in its replies.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "void"
	case bool:
		return "bool"
	case int8:
		return "byte"
	case uint8:
		return "unsignedbyte"
	case int16:
		return "short"
	case uint16:
		return "unsignedshort"
	case int32:
		return "signedint"
	case uint32:
		return "unsignedint"
	case int64, int, uint, uint64:
		return "long"
	case float32:
		return "float"
	case float64:
		return "double"
	case string:
		return "longstr"
	case []byte:
		return "binary"
	}
	switch normal(v).(type) {
	case time.Time:
		return "timestamp"
	case map[string]any:
		return "table"
	case []any:
		return "array"
	}
	return "decimal"
}

// term writes a value as an Erlang term, for replies that quote one.
func term(v any) string {
	switch v := normal(v).(type) {
	case nil:
		return "undefined"
	case string:
		return BinaryTerm(v)
	case []byte:
		return BinaryTerm(string(v))
	case float64:
		return FloatTerm(v)
	case time.Time:
		return strconv.FormatInt(v.Unix(), 10)
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			parts[i] = fmt.Sprintf("{%s,%s}", TypeName(element), term(element))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("{%s,%s,%s}", BinaryTerm(key), TypeName(v[key]), term(v[key])))
		}
		return "[" + strings.Join(parts, ",") + "]"
	default: // bool, integers
		return fmt.Sprint(v)
	}
}

// BinaryTerm writes text as Erlang does a binary: <<"abc">>, and as octets if any is not printable.
func BinaryTerm(text string) string {
	if text == "" {
		return "<<>>"
	}
	return "<<" + characters(text) + ">>"
}

// StringTerm writes text as Erlang does a string: "abc", and as a list of octets if any is not printable.
func StringTerm(text string) string {
	if printable(text) {
		return characters(text)
	}
	return "[" + characters(text) + "]"
}

// FloatTerm writes a number as Erlang does a float: it always has a decimal point.
func FloatTerm(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	mantissa, exponent, scientific := strings.Cut(text, "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if scientific {
		return mantissa + "e" + strings.TrimPrefix(exponent, "+")
	}
	return mantissa
}

// characters writes text between quotes, or what it has of octets if any is not printable.
func characters(text string) string {
	if printable(text) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	octets := make([]string, len(text))
	for i := range len(text) {
		octets[i] = strconv.Itoa(int(text[i]))
	}
	return strings.Join(octets, ",")
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}
