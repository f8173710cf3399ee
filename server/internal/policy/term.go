package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/server/amqp"
)

// term writes a value as an Erlang term, for replies that quote one: strings are binaries, tables maps.
func term(v any) string {
	if n, ok := amqp.Int(v); ok {
		return strconv.FormatInt(n, 10)
	}
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return binaryTerm(v)
	case []byte:
		return binaryTerm(string(v))
	case float32:
		return floatTerm(float64(v), 32)
	case float64:
		return floatTerm(v, 64)
	case amqp.Timestamp:
		return strconv.FormatUint(uint64(v), 10)
	case time.Time:
		return strconv.FormatInt(v.Unix(), 10)
	case amqp.Decimal:
		return fmt.Sprintf("{%d,%d}", v.Scale, v.Value)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = term(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case amqp.Table:
		return tableTerm(v)
	case map[string]any:
		return tableTerm(v)
	}
	return "undefined" // no table holds such a value
}

func tableTerm(t map[string]any) string {
	parts := make([]string, 0, len(t))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, binaryTerm(key)+" => "+term(t[key]))
	}
	return "#{" + strings.Join(parts, ",") + "}"
}

// listTerm writes key-value pairs as a list of tuples.
func listTerm(t map[string]any) string {
	parts := make([]string, 0, len(t))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, "{"+binaryTerm(key)+","+term(t[key])+"}")
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// binaryTerm writes text as <<"abc">>, and as octets if any is not printable.
func binaryTerm(text string) string {
	if text == "" {
		return "<<>>"
	}
	if !printable(text) {
		return "<<" + octets(text) + ">>"
	}
	return "<<" + quoted(text) + ">>"
}

// stringTerm writes text as "abc", and as a list of octets if any is not printable.
func stringTerm(text string) string {
	if !printable(text) {
		return "[" + octets(text) + "]"
	}
	return quoted(text)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func octets(text string) string {
	parts := make([]string, len(text))
	for i := range len(text) {
		parts[i] = strconv.Itoa(int(text[i]))
	}
	return strings.Join(parts, ",")
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}

// floatTerm always has a decimal point.
func floatTerm(v float64, bits int) string {
	text := strconv.FormatFloat(v, 'g', -1, bits)
	mantissa, exponent, scientific := strings.Cut(text, "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if scientific {
		return mantissa + "e" + strings.TrimPrefix(exponent, "+")
	}
	return mantissa
}
