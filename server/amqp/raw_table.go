package amqp

import "slices"

// RawTable is a field table's octets without the length before them. It is borrowed from where it was
// found and nothing in it has been checked: faults show when it is scanned (WIRE-14).
type RawTable []byte

// Scan returns a scanner over the table's fields; none of its methods allocates.
func (r RawTable) Scan() TableScanner { return TableScanner{rest: r} }

// Lookup returns the value of a key; of duplicate keys, the last one's (WIRE-12). The whole table is
// scanned, so a malformed one is always an error.
func (r RawTable) Lookup(key string) (v Value, found bool, err error) {
	s := r.Scan()
	for s.Next() {
		if string(s.Key()) == key {
			v, found = s.Value(), true
		}
	}
	if err := s.Err(); err != nil {
		return Value{}, false, err
	}
	return v, found, nil
}

// Decode decodes the table and everything in it. Strings are copied.
func (r RawTable) Decode() (Table, error) {
	t, f := r.decode(1)
	if f != faultNone {
		return nil, &Error{Code: SyntaxError, Text: f.String()}
	}
	return t, nil
}

// Append appends the table with its length.
func (r RawTable) Append(dst []byte) []byte { return appendLongstr(dst, r) }

// AppendWithout appends to dst the fields whose keys are not among the given ones, in their order and
// without a length. AppendField adds fields to the result.
func (r RawTable) AppendWithout(dst RawTable, keys ...string) (RawTable, error) {
	s := r.Scan()
	for before := s.rest; s.Next(); before = s.rest {
		if !slices.Contains(keys, string(s.Key())) {
			dst = append(dst, before[:len(before)-len(s.rest)]...)
		}
	}
	return dst, s.Err()
}

func (r RawTable) decode(depth int) (Table, fault) {
	t := Table{}
	s := r.Scan()
	for s.Next() {
		value, f := s.value.decode(depth)
		if f != faultNone {
			return nil, f
		}
		t[string(s.key)] = value
	}
	return t, s.fault
}

// TableScanner walks over a table's fields in their order:
//
//	s := table.Scan()
//	for s.Next() {
//		use(s.Key(), s.Value())
//	}
//	if err := s.Err(); err != nil { … }
type TableScanner struct {
	rest  []byte
	key   []byte
	value Value
	fault fault
}

// Next advances to the next field and reports whether there is one.
func (s *TableScanner) Next() bool {
	if len(s.rest) == 0 || s.fault != faultNone {
		return false
	}
	n := 1 + int(s.rest[0])
	if n > len(s.rest) {
		s.fault = faultTableShort
		return false
	}
	s.key = s.rest[1:n:n]
	s.value, s.rest, s.fault = scanValue(s.rest[n:])
	return s.fault == faultNone
}

// Key returns the field's key, borrowed from the table.
func (s *TableScanner) Key() []byte { return s.key }

// Value returns the field's value, borrowed from the table.
func (s *TableScanner) Value() Value { return s.value }

// Err returns the fault that ended the scan early, if any, as a *Error.
func (s *TableScanner) Err() error { return scanError(s.fault) }

func scanError(f fault) error {
	if f == faultNone {
		return nil
	}
	return &Error{Code: SyntaxError, Text: f.String()}
}
