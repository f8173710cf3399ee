package render

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/terminal"
)

func (r *Renderer) print(text string) { r.buffer = append(r.buffer, text...) }

func (r *Renderer) printf(format string, args ...any) {
	r.buffer = fmt.Appendf(r.buffer, format, args...)
}

func (r *Renderer) paint(colour terminal.Colour, text string) { r.print(r.out.Paint(colour, text)) }

// head prints what all records have, without the end of the line.
func (r *Renderer) head(e *Entry) {
	r.paint(terminal.Bold, strconv.FormatUint(uint64(e.Record.LSN()), 10))
	r.print("  ")
	r.paint(terminal.Dim, e.Time.In(r.cfg.Zone).Format(TimeFormat))
	r.print("  ")
	r.paint(terminal.Cyan, e.Record.Kind().String())
}

func (r *Renderer) human(e *Entry) {
	r.head(e)
	var err error
	switch e.Record.Kind() {
	case segment.KindPublish:
		err = r.humanPublish(e)
	case segment.KindSettle:
		err = r.humanSettle(e)
	case segment.KindHorizon:
		var h segment.Horizon
		if h, err = e.Record.Horizon(); err == nil && h.LSN == math.MaxUint64 {
			r.printf("  %s: all that comes may be handed out\n", safe(r.queueName(h.Queue)))
		} else if err == nil {
			r.printf("  %s: up to %d may have been handed out\n", safe(r.queueName(h.Queue)), h.LSN)
		}
	case segment.KindTopology, segment.KindConsumer, segment.KindStart:
		var change amqp.Table
		if change, err = decodeChange(e.Record.Payload()); err == nil {
			r.print("  ")
			r.change(change)
		}
	case segment.KindCatalogue:
		var entries []any
		if entries, err = decodeCatalogue(e.Record.Payload()); err == nil {
			r.printf("  %d entries\n", len(entries))
			for _, entry := range entries {
				r.print("    ")
				r.change(entry.(amqp.Table))
			}
		}
	case segment.KindRouteSet:
		err = r.humanSet(e)
	default:
		r.print("\n")
	}
	if err != nil {
		r.printf("  malformed: %s\n", safe(err.Error()))
		r.dump(e.Record.Payload(), "    ")
	}
}

func (r *Renderer) humanPublish(e *Entry) error {
	p, err := e.Record.Publish()
	if err != nil {
		return err
	}
	properties, err := decodeProperties(p.Header)
	if err != nil {
		return err
	}
	r.route(e, &p)
	r.print("\n")
	for _, property := range properties {
		headers, ok := property.value.(amqp.Table)
		if !ok {
			r.field("    ", property.name, property.value)
			continue
		}
		r.print("    headers:\n")
		for _, key := range slices.Sorted(maps.Keys(headers)) {
			r.field("      ", key, headers[key])
		}
	}
	r.humanBody(&p)
	return nil
}

// route prints from where a message came and where it went.
func (r *Renderer) route(e *Entry, p *segment.Publish) {
	exchange, key := amqp.Keys(p.Keys).Split()
	r.printf("  vhost %s, exchange %s, key %s -> ", safe(r.vhostName(e.Record.VHost())), strconv.Quote(string(exchange)), strconv.Quote(string(key)))
	if len(e.Queues) == 0 {
		r.print("nowhere")
	}
	for i, id := range e.Queues {
		if i > 0 {
			r.print(", ")
		}
		r.print(safe(r.queueName(id)))
	}
	r.printf("; %d octets", len(p.Body))
	if e.Record.Flags()&segment.FlagTransient != 0 {
		r.print(", transient")
	}
	if e.Record.Flags()&segment.FlagDeadLettered != 0 {
		r.print(", dead-lettered")
	}
}

func (r *Renderer) field(indent, name string, value any) {
	r.print(indent)
	r.paint(terminal.Dim, safe(name)+":")
	r.print(" ")
	r.buffer = appendValue(r.buffer, value)
	r.print("\n")
}

func (r *Renderer) humanBody(p *segment.Publish) {
	b := r.body(p)
	if b.note != "" {
		r.printf("    (%s)\n", safe(b.note))
	}
	octets := b.octets
	if b.json {
		var pretty bytes.Buffer
		if json.Indent(&pretty, octets, "", "  ") == nil { // it is valid
			octets = pretty.Bytes()
		}
	}
	left, text := 0, utf8.Valid(octets)
	if most := r.cfg.MaxShown; most > 0 && len(octets) > most {
		if text {
			for most > 0 && !utf8.RuneStart(octets[most]) { // characters are not cut
				most--
			}
		}
		octets, left = octets[:most], len(octets)-most
	}
	switch {
	case len(octets) == 0:
	case text:
		for line := range strings.SplitSeq(strings.TrimSuffix(string(octets), "\n"), "\n") {
			r.print("    " + safe(line) + "\n")
		}
	default:
		r.dump(octets, "    ")
	}
	if left > 0 {
		r.printf("    … %d octets more\n", left)
	}
}

func (r *Renderer) humanSettle(e *Entry) error {
	s, err := e.Record.Settle()
	if err != nil {
		return err
	}
	r.printf("  %s: %s ", safe(r.queueName(s.Queue)), s.Reason)
	first := true
	for at := range s.Ranges() {
		if !first {
			r.print(", ")
		}
		first = false
		if r.printf("%d", at.From); at.To > at.From {
			r.printf("-%d", at.To)
		}
	}
	if s.Consumer != 0 {
		r.printf(", by the consumer %d", s.Consumer)
	}
	if s.Successor != 0 {
		r.printf(", went on as %d", s.Successor)
	}
	r.print("\n")
	return nil
}

func (r *Renderer) humanSet(e *Entry) error {
	id, err := e.Record.RouteSetID()
	if err != nil {
		return err
	}
	queues, err := e.Record.AppendRouteSet(nil)
	if err != nil {
		return err
	}
	r.printf("  %d: %d queues:", id, len(queues))
	for _, q := range queues {
		r.print(" " + safe(r.queueName(q)))
	}
	r.print("\n")
	return nil
}

// change prints a change of the topology: what it does, then its fields.
func (r *Renderer) change(change amqp.Table) {
	op, _ := change["op"].(string)
	r.paint(terminal.Bold, safe(op))
	for _, key := range slices.Sorted(maps.Keys(change)) {
		switch value := change[key].(type) {
		case uint32, int64, uint64, int32:
			number, ok := amqp.Int(value)
			if ok && key == "queue" && op == "consumer.start" {
				r.print(" queue=")
				r.buffer = appendOctets(r.buffer, r.queueName(segment.QueueID(number)))
				continue
			}
			if ok && key == "vhost" && number >= 0 && number < 1<<32 && op != "vhost.create" {
				r.print(" vhost=")
				r.buffer = appendOctets(r.buffer, r.vhostName(uint32(number)))
				continue
			}
		case string:
			if key == "op" {
				continue
			}
		}
		r.print(" " + safe(key) + "=")
		r.buffer = appendValue(r.buffer, change[key])
	}
	r.print("\n")
}

func (r *Renderer) hex(e *Entry) {
	r.head(e)
	octets := e.Record.Payload()
	if p, err := e.Record.Publish(); err == nil {
		r.route(e, &p)
		b := r.body(&p)
		if octets = b.octets; b.note != "" {
			r.printf(" (%s)", safe(b.note))
		}
	}
	r.print("\n")
	left := 0
	if most := r.cfg.MaxShown; most > 0 && len(octets) > most {
		octets, left = octets[:most], len(octets)-most
	}
	if r.dump(octets, ""); left > 0 {
		r.printf("… %d octets more\n", left)
	}
}

// dump prints octets in the manner of hexdump -C.
func (r *Renderer) dump(octets []byte, indent string) {
	for line := range strings.Lines(hex.Dump(octets)) {
		r.print(indent + line)
	}
}

// safe is text that does nothing to a terminal: controls and what is no UTF-8 are escaped.
func safe(text string) string {
	fine := func(c rune) bool { return c == '\t' || unicode.IsPrint(c) && c != utf8.RuneError }
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !fine(c) }) {
		return text
	}
	var out []byte
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if fine(c) {
			out = append(out, text[i:i+size]...)
		} else {
			escaped := strconv.Quote(text[i : i+size])
			out = append(out, escaped[1:len(escaped)-1]...)
		}
		i += size
	}
	return string(out)
}
