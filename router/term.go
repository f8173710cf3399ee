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
		return binaryTerm(v)
	case []byte:
		return binaryTerm(string(v))
	case float64:
		return floatTerm(v)
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
			parts = append(parts, fmt.Sprintf("{%s,%s,%s}", binaryTerm(key), TypeName(v[key]), term(v[key])))
		}
		return "[" + strings.Join(parts, ",") + "]"
	default: // bool, integers
		return fmt.Sprint(v)
	}
}

// binaryTerm writes text as <<"abc">>, and as octets if any is not printable.
func binaryTerm(text string) string {
	if text == "" {
		return "<<>>"
	}
	if !printable(text) {
		octets := make([]string, len(text))
		for i := range len(text) {
			octets[i] = strconv.Itoa(int(text[i]))
		}
		return "<<" + strings.Join(octets, ",") + ">>"
	}
	return "<<\"" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`) + "\">>"
}

// floatTerm always has a decimal point.
func floatTerm(v float64) string {
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

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}
