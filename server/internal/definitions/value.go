package definitions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/server/amqp"
)

// value is a value of JSON that knows where it stands.
type value struct {
	at     int // offset of its first octet
	kind   kind
	text   string // of a string or a number
	list   []value
	fields []field // of an object, in their order
}

type field struct {
	name string
	at   int
	value
}

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

// String returns the kind as it stands in a sentence.
func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// maxDepth is how deep values may be nested; definitions need six levels, arguments with tables a few more.
const maxDepth = 64

// scan reads a whole text. The error comes with the offset that it is about.
func scan(data []byte) (value, int, error) {
	if !utf8.Valid(data) {
		at := 0
		for r, n := utf8.DecodeRune(data); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRune(data[at:]) {
			at += n
		}
		return value{}, at, errors.New("the file is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = max(int(syntax.Offset)-1, 0) // it is behind the octet that it is about
		}
		return value{}, at, fmt.Errorf("this is not JSON: %w", err)
	}
	s := scanner{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	s.decoder.UseNumber()
	v, err := s.value(0)
	return v, v.at, err
}

// scanner builds values of the tokens of a text that is known to be JSON.
type scanner struct {
	data    []byte
	decoder *json.Decoder
}

// next returns the offset of the next token.
func (s *scanner) next() int {
	at := int(s.decoder.InputOffset())
	for at < len(s.data) && strings.IndexByte(" \t\r\n,:", s.data[at]) >= 0 {
		at++
	}
	return at
}

func (s *scanner) value(depth int) (value, error) {
	v := value{at: s.next()}
	if depth > maxDepth {
		return v, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	token, err := s.decoder.Token()
	if err != nil {
		return v, err
	}
	switch token := token.(type) {
	case bool:
		v.kind, v.text = boolean, strconv.FormatBool(token)
	case json.Number:
		v.kind, v.text = number, token.String()
	case string:
		v.kind, v.text = text, token
	case json.Delim:
		return s.collection(v, token, depth)
	}
	return v, nil
}

// collection reads a list or an object behind its opening bracket.
func (s *scanner) collection(v value, opening json.Delim, depth int) (value, error) {
	v.kind = list
	if opening == '{' {
		v.kind = object
	}
	for s.decoder.More() {
		var name field
		if v.kind == object {
			name.at = s.next()
			token, err := s.decoder.Token()
			if err != nil {
				return v, err
			}
			name.name, _ = token.(string)
		}
		element, err := s.value(depth + 1)
		if err != nil {
			return element, err
		}
		if v.kind == object {
			name.value = element
			v.fields = append(v.fields, name)
		} else {
			v.list = append(v.list, element)
		}
	}
	_, err := s.decoder.Token()
	return v, err
}

// integer returns a number that is whole and written so.
func (v *value) integer() (int64, bool) {
	if v.kind != number {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// argument returns a value as a field table holds it, or says what is wrong with it.
func (v *value) argument() (any, string) {
	switch v.kind {
	case boolean:
		return v.text == "true", ""
	case text:
		return v.text, ""
	case number:
		if n, ok := v.integer(); ok {
			return n, ""
		}
		if !strings.ContainsAny(v.text, ".eE") {
			return nil, v.text + " is too large for 64 bits"
		}
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, v.text + " is too large for a double"
		}
		return f, ""
	}
	return nil, "null is not a value that an argument can have; leave the key out"
}

// line returns line and column, from 1, of an offset; columns count characters.
func line(data []byte, at int) (line, column int) {
	before := data[:min(at, len(data))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// table is what arguments and definitions become.
type table = amqp.Table
