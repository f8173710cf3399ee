package definitions

import (
	"fmt"
	"regexp"
	"slices"
)

// document is a file that is being read, and what was found out about it.
type document struct {
	file   string
	data   []byte
	faults Faulty
	notes  []fault
}

// place is a value and the way to it.
type place struct {
	document *document
	path     string
	value    *value
}

func (p place) where() Where { return p.whereAt(p.value.at) }

func (p place) whereAt(at int) Where { return Where{p.document, at, p.path} }

func (p place) fault(format string, args ...any) { p.document.faults.Add(p.where(), format, args...) }

func (p place) note(format string, args ...any) {
	p.document.notes = append(p.document.notes, fault{p.where(), fmt.Sprintf(format, args...)})
}

// is reports whether the value is of a kind; if not, that is a fault.
func (p place) is(want kind) bool {
	if p.value.kind == want {
		return true
	}
	p.fault("this must be %s, not %s", want, p.value.kind)
	return false
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// member is the place of a field's value.
func (p place) member(f *field) place {
	path := f.name
	switch {
	case !plainName.MatchString(f.name):
		path = p.path + fmt.Sprintf("[%q]", f.name)
	case p.path != "":
		path = p.path + "." + f.name
	}
	return place{p.document, path, &f.value}
}

// elements yields the places of the elements of a list.
func (p place) elements(yield func(place) bool) {
	if !p.is(list) {
		return
	}
	for i := range p.value.list {
		if !yield(place{p.document, fmt.Sprintf("%s[%d]", p.path, i), &p.value.list[i]}) {
			return
		}
	}
}

// members yields the names and places of the fields of an object. An empty list is an empty object too: that
// is how RabbitMQ writes some.
func (p place) members(yield func(string, place) bool) {
	if p.value.kind == list && len(p.value.list) == 0 || !p.is(object) {
		return
	}
	seen := make(map[string]bool)
	for i := range p.value.fields {
		f := &p.value.fields[i]
		m := p.member(f)
		if seen[f.name] {
			m.document.faults.Add(m.whereAt(f.at), "this is given twice; leave one of them out")
			continue
		}
		seen[f.name] = true
		if !yield(f.name, m) {
			return
		}
	}
}

// record is an object with fields of known names.
type record struct {
	place
	fields map[string]place
	names  []string // of fields, in their order, less those that were asked for
	before int      // how many faults the document had when this began
}

// record reads an object; nil fields are as good as none.
func (p place) record() *record {
	r := &record{place: p, fields: make(map[string]place), before: len(p.document.faults.faults)}
	for name, m := range p.members {
		if r.names = append(r.names, name); m.value.kind != null {
			r.fields[name] = m
		}
	}
	return r
}

// known says that fields are known and of no effect.
func (r *record) known(names ...string) {
	r.names = slices.DeleteFunc(r.names, func(name string) bool { return slices.Contains(names, name) })
}

// done notes the fields that nobody asked for.
func (r *record) done() {
	for _, name := range r.names {
		if m, ok := r.fields[name]; ok {
			m.note("this is not known here and is passed over")
		}
	}
}

func (r *record) field(name string) (place, bool) {
	r.known(name)
	m, ok := r.fields[name]
	return m, ok
}

// required finds a field that must be there.
func (r *record) required(name string) (place, bool) {
	m, ok := r.field(name)
	if !ok && r.value.kind == object {
		r.fault("%q is missing", name)
	}
	return m, ok
}

// text reads a string that must be there.
func (r *record) text(name string) string {
	if m, ok := r.required(name); ok && m.is(text) {
		return m.value.text
	}
	return ""
}

// name reads a string that must be there, and no longer than AMQP's names are.
func (r *record) name(name string) string {
	const longest = 255
	s := r.text(name)
	if len(s) > longest {
		r.fields[name].fault("this has %d octets; names have at most %d", len(s), longest)
	}
	return s
}

// optionalText reads a string that need not be there.
func (r *record) optionalText(name string) (string, bool) {
	if m, ok := r.field(name); ok && m.is(text) {
		return m.value.text, true
	}
	return "", false
}

// sound reports whether nothing is wrong with the record so far.
func (r *record) sound() bool { return len(r.document.faults.faults) == r.before }

func (r *record) flag(name string, otherwise bool) bool {
	if m, ok := r.field(name); ok && m.is(boolean) {
		return m.value.text == "true"
	}
	return otherwise
}

// arguments reads an object as a field table; there is always one.
func (r *record) arguments(name string) table {
	m, ok := r.field(name)
	if !ok {
		return table{}
	}
	return m.table()
}

func (p place) table() table {
	t := table{}
	for name, m := range p.members {
		const longest = 255
		if len(name) > longest {
			m.fault("this key has %d octets; it may have at most %d", len(name), longest)
		}
		t[name] = m.argument()
	}
	return t
}

func (p place) argument() any {
	switch p.value.kind {
	case object:
		return p.table()
	case list:
		values := []any{}
		for element := range p.elements {
			values = append(values, element.argument())
		}
		return values
	}
	v, fault := p.value.argument()
	if fault != "" {
		p.fault("%s", fault)
	}
	return v
}
