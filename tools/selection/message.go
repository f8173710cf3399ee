package selection

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
)

// keyMatcher matches routing keys as a topic exchange does, by being one.
type keyMatcher struct {
	router  *router.Router[int]
	message router.Message
	scratch router.Scratch[int]
	found   []int
}

func newKeyMatcher(patterns []string) (*keyMatcher, error) {
	const name = "keys"
	m := &keyMatcher{router: router.New[int](), message: router.Message{Exchange: []byte(name)}}
	if _, err := m.router.Declare(router.Exchange{Name: name, Type: router.Topic}); err != nil {
		return nil, err
	}
	if err := m.router.AddQueue(name, 1); err != nil {
		return nil, err
	}
	for _, pattern := range patterns {
		if _, err := m.router.Bind(router.Binding{Source: name, Destination: name, Key: pattern}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *keyMatcher) match(key []byte) bool {
	m.message.Key = key
	m.found, _, _ = m.router.Route(m.found[:0], &m.message, &m.scratch) // the exchange is there
	return len(m.found) > 0
}

// headerTest asks for a header.
type headerTest struct {
	name, value string
	any         bool // the value does not matter
}

func parseHeaderTest(text string) (headerTest, error) {
	name, value, valued := strings.Cut(text, "=")
	if name == "" {
		return headerTest{}, fmt.Errorf("--header %q names no header; write name=value, or name alone", text)
	}
	return headerTest{name, value, !valued}, nil
}

func (f *Filter) matchHeaders(raw []byte) bool {
	header, err := amqp.ParseHeader(raw)
	if err != nil {
		return false
	}
	table, _ := header.Headers()
	for i := range f.headers {
		if !f.headers[i].holds(table) {
			return false
		}
	}
	return true
}

func (t *headerTest) holds(table amqp.RawTable) bool {
	value, found, err := table.Lookup(t.name)
	if err != nil || !found || t.any {
		return err == nil && found
	}
	if text, ok := value.Longstr(); ok {
		return string(text) == t.value
	}
	return t.equals(value)
}

// equals compares a value that is no text with what people write for it.
func (t *headerTest) equals(value amqp.Value) bool {
	decoded, err := value.Decode()
	if err != nil {
		return false
	}
	if n, ok := amqp.Int(decoded); ok {
		return strconv.FormatInt(n, 10) == t.value
	}
	switch v := decoded.(type) {
	case bool:
		return strconv.FormatBool(v) == t.value
	case []byte:
		return string(v) == t.value
	case float32, float64:
		n, err := strconv.ParseFloat(t.value, 64)
		if single, ok := v.(float32); ok {
			return err == nil && float32(n) == single
		}
		return err == nil && v == n
	case amqp.Timestamp:
		return v.Time().Format("2006-01-02T15:04:05Z07:00") == t.value || strconv.FormatUint(uint64(v), 10) == t.value
	}
	return false
}
