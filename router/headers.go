package router

import (
	"fmt"
	"slices"
	"strings"
)

// argMatch is the binding argument that chooses how headers are matched.
const argMatch = "x-match"

// headersMatcher knows its bindings by the headers that they ask for, so that a message is compared only
// with those that can match it.
type headersMatcher[Q comparable] struct {
	bucket[Q]
	rules []*rule // rules[i] is of bindings[i]
	index headersIndex
}

// rule is the arguments of a binding, compiled.
type rule struct {
	any        bool // one condition suffices; else all must hold
	position   int  // in the bucket
	conditions []condition
	always     int // in headersIndex.always, of a rule that is there
}

// condition asks one header for a value.
type condition struct {
	name string
	want any // normalised; nil asks for presence only (HEADERS-03)
	at   int // in the list of the index that it is filed in; unfiled
}

// unfiled is the place of a condition that the index does not know.
const unfiled = -1

// headersOf remembers the headers of the message at work, decoded once.
type headersOf struct {
	table map[string]any
	known bool
}

func newHeadersMatcher[Q comparable]() *headersMatcher[Q] {
	return &headersMatcher[Q]{index: newHeadersIndex()}
}

// check refuses an x-match that is none (HEADERS-01).
func (m *headersMatcher[Q]) check(b *Binding) error {
	value, ok := b.Arguments[argMatch]
	if !ok {
		return nil
	}
	mode, ok := value.(string)
	if !ok {
		return Refused{Text: fmt.Sprintf("Invalid x-match field type %s (value %s); expected longstr",
			TypeName(value), term(value))}
	}
	switch mode {
	case "all", "any", "all-with-x", "any-with-x":
		return nil
	}
	return Refused{Text: fmt.Sprintf("Invalid x-match field value %s; expected all, any, all-with-x, or any-with-x",
		term(mode))}
}

func (m *headersMatcher[Q]) add(b *binding[Q]) {
	mode, _ := b.declared.Arguments[argMatch].(string)
	withX := strings.HasSuffix(mode, "-with-x")
	made := &rule{any: strings.HasPrefix(mode, "any"), position: len(m.rules)}
	for name, value := range b.declared.Arguments {
		// HEADERS-02: x-match is never matched, other x-… only on demand.
		if name == argMatch || !withX && strings.HasPrefix(name, "x-") {
			continue
		}
		made.conditions = append(made.conditions, condition{name: name, want: normal(value), at: unfiled})
	}
	m.bucket.add(b)
	m.rules = append(m.rules, made)
	m.index.add(made)
}

func (m *headersMatcher[Q]) remove(b *binding[Q]) {
	position, last := b.bucketPos, len(m.rules)-1
	m.index.remove(m.rules[position])
	m.rules[position] = m.rules[last] // as the bucket moves the binding
	m.rules[position].position = position
	m.rules[last] = nil
	m.rules = m.rules[:last]
	m.bucket.remove(b)
}

func (m *headersMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnMessage)
	if len(m.rules) == 0 || !s.decodeHeaders() {
		return
	}
	s.found = m.index.find(s.found[:0], s.headers.table)
	// The index finds in the order in which the headers come, which is another each time. Queues in one order
	// are what a Cache shares Sets by.
	if !slices.IsSorted(s.found) {
		slices.Sort(s.found)
	}
	for _, i := range s.found {
		s.take(m.targets[i : i+1])
	}
}

// decodeHeaders makes the headers of the message known; false if they cannot be decoded.
func (s *Scratch[Q]) decodeHeaders() bool {
	if !s.headers.known {
		s.headers.known = true
		if s.message.Headers != nil {
			var err error
			if s.headers.table, err = s.message.Headers(); err != nil {
				s.fail(err)
			}
		}
	}
	return s.err == nil
}

// matches tells whether a rule matches, one of whose conditions holds, as is known (HEADERS-01).
func (r *rule) matches(headers map[string]any, known int) bool {
	if r.any {
		return true
	}
	for i := range r.conditions {
		if i == known {
			continue
		}
		c := &r.conditions[i]
		value, present := headers[c.name]
		if !present || c.want != nil && !equalNormal(c.want, value) {
			return false
		}
	}
	return true
}
