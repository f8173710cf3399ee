package session_test

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/millrace-mq/millrace/server/amqp"
)

// describe tells a method in words: its name and the arguments that are not zero.
func describe(m amqp.Method) string {
	var out strings.Builder
	out.WriteString(m.ID().String())
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); !field.IsZero() {
			out.WriteByte(' ')
			out.WriteString(describeField(words(v.Type().Field(i).Name), field.Interface()))
		}
	}
	return out.String()
}

func describeField(name string, value any) string {
	switch value := value.(type) {
	case bool:
		return name
	case amqp.Keys:
		return fmt.Sprintf("exchange=%q routing-key=%q", value.Exchange(), value.RoutingKey())
	case []byte:
		return fmt.Sprintf("%s=%q", name, value)
	case string:
		return name + "=" + strconv.Quote(value)
	case amqp.ReplyCode:
		return fmt.Sprintf("%s=%d", name, value)
	case amqp.Table:
		var fields []string
		for _, key := range sortedKeys(value) {
			fields = append(fields, describeField(key, value[key]))
		}
		return name + "={" + strings.Join(fields, " ") + "}"
	}
	return fmt.Sprintf("%s=%v", name, value)
}

// words writes a Go name as the protocol does.
func words(name string) string {
	var out strings.Builder
	before := 'A'
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(before) {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
		before = r
	}
	return out.String()
}

// describeContent tells a content header's properties and the body.
func describeContent(header []byte, body string) string {
	h, err := amqp.ParseHeader(header)
	if err != nil {
		return fmt.Sprintf(" + header % x", header)
	}
	p, err := h.Properties()
	if err != nil {
		return fmt.Sprintf(" + header % x", header)
	}
	p.Present = 0
	var out strings.Builder
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		if field := v.Field(i); !field.IsZero() {
			out.WriteByte(' ')
			out.WriteString(describeField(words(v.Type().Field(i).Name), field.Interface()))
		}
	}
	if len(body) > 60 {
		body = fmt.Sprintf("%s… (%d octets)", body[:20], len(body))
	}
	return fmt.Sprintf(" +%s body=%q", out.String(), body)
}
