package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/router"
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
		return router.BinaryTerm(v)
	case []byte:
		return router.BinaryTerm(string(v))
	case float32:
		return router.FloatTerm(float64(v))
	case float64:
		return router.FloatTerm(v)
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
		parts = append(parts, router.BinaryTerm(key)+" => "+term(t[key]))
	}
	return "#{" + strings.Join(parts, ",") + "}"
}

// listTerm writes key-value pairs as a list of tuples.
func listTerm(t map[string]any) string {
	parts := make([]string, 0, len(t))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, "{"+router.BinaryTerm(key)+","+term(t[key])+"}")
	}
	return "[" + strings.Join(parts, ",") + "]"
}
