package router

import (
	"fmt"
	"strings"
)

// argMatch is the binding argument that chooses how headers are matched.
const argMatch = "x-match"

// headersMatcher tries one rule per binding. The names that rules ask for are looked up once a
// message, not once a rule.
type headersMatcher[Q comparable] struct {
	bucket[Q]
	rules []rule // rules[i] is of bindings[i]

	names map[string]*headerName
	slots []*headerName // by slot, dense
}

// headerName is a header that some rule asks for.
type headerName struct {
	name  string
	slot  int
	users int
}

// rule is the arguments of a binding, compiled.
type rule struct {
	any        bool // one condition suffices; else all must hold
	conditions []condition
}

// condition asks one header for a value.
type condition struct {
	name *headerName
	want any // normalised; nil asks for presence only (HEADERS-03)
}

// field is what a message has for a name that rules ask for.
type field struct {
	value   any
	present bool
}

// headersOf remembers the headers of the message at work, decoded once.
type headersOf struct {
	table map[string]any
	known bool
}

func newHeadersMatcher[Q comparable]() *headersMatcher[Q] {
	return &headersMatcher[Q]{names: make(map[string]*headerName)}
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
	made := rule{any: strings.HasPrefix(mode, "any")}
	for name, value := range b.declared.Arguments {
		// HEADERS-02: x-match is never matched, other x-… only on demand.
		if name == argMatch || !withX && strings.HasPrefix(name, "x-") {
			continue
		}
		made.conditions = append(made.conditions, condition{name: m.use(name), want: normal(value)})
	}
	m.bucket.add(b)
	m.rules = append(m.rules, made)
}

func (m *headersMatcher[Q]) remove(b *binding[Q]) {
	for _, c := range m.rules[b.bucketPos].conditions {
		m.release(c.name)
	}
	last := len(m.rules) - 1
	m.rules[b.bucketPos] = m.rules[last] // as the bucket moves the binding
	m.rules[last] = rule{}
	m.rules = m.rules[:last]
	m.bucket.remove(b)
}

func (m *headersMatcher[Q]) use(name string) *headerName {
	n, ok := m.names[name]
	if !ok {
		n = &headerName{name: name, slot: len(m.slots)}
		m.names[name] = n
		m.slots = append(m.slots, n)
	}
	n.users++
	return n
}

func (m *headersMatcher[Q]) release(n *headerName) {
	n.users--
	if n.users > 0 {
		return
	}
	delete(m.names, n.name)
	last := len(m.slots) - 1
	m.slots[n.slot] = m.slots[last]
	m.slots[n.slot].slot = n.slot
	m.slots = m.slots[:last]
}

func (m *headersMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnMessage)
	if len(m.rules) == 0 || !s.decodeHeaders() {
		return
	}
	s.fields = s.fields[:0]
	for _, n := range m.slots {
		value, present := s.headers.table[n.name]
		s.fields = append(s.fields, field{value, present})
	}
	for i := range m.rules {
		if m.rules[i].matches(s.fields) {
			s.take(m.targets[i : i+1])
		}
	}
	clear(s.fields)
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

// matches holds without conditions for all and fails without conditions for any (HEADERS-04).
func (r *rule) matches(fields []field) bool {
	for _, c := range r.conditions {
		f := &fields[c.name.slot]
		if (f.present && (c.want == nil || equalNormal(c.want, f.value))) == r.any {
			return r.any
		}
	}
	return !r.any
}
