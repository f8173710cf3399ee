package render

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// Format says how records are shown.
type Format uint8

// The formats.
const (
	Human Format = iota // lines for people
	JSON                // an object a line
	Raw                 // bodies of messages, nothing else
	Hex                 // a line for each record, and a dump of its body or payload
)

// ParseFormat reads a format's name: human, json, raw or hex.
func ParseFormat(name string) (Format, error) {
	for f := Human; f <= Hex; f++ {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("no output is called %q; there are human, json, raw and hex", name)
}

// String returns the name that ParseFormat reads.
func (f Format) String() string {
	return [...]string{"human", "json", "raw", "hex"}[min(f, Hex)]
}

// Names finds names for the numbers in records; ok is false when one is not known.
type Names interface {
	QueueName(segment.QueueID) (name string, ok bool)
	VHostName(uint32) (name string, ok bool)
}

// Config says how a Renderer works. Zero values are the defaults.
type Config struct {
	Format Format
	Color  bool  // of Human and Hex: escape sequences for a terminal
	Names  Names // nil: numbers are shown
	// Decode undoes the content encoding of bodies, and shows JSON as such.
	Decode bool
	// MaxDecoded is how many octets a decoded body may have; what is longer is cut. The default is 16 MiB.
	MaxDecoded int
	// MaxShown is how many octets of a body Human and Hex show, 0 all.
	MaxShown int
	// Separator stands behind each body of Raw.
	Separator string
	// Zone is that of Human's times; nil is UTC.
	Zone *time.Location
}

const defaultMaxDecoded = 16 << 20

// Entry is a record to be shown. It is borrowed for the call.
type Entry struct {
	Record segment.Record
	Time   time.Time         // when the log took it in
	Queues []segment.QueueID // of a publish: where it went
}

// Renderer writes records to a stream.
type Renderer struct {
	cfg    Config
	out    terminal.Terminal // with colours as the configuration says
	buffer []byte            // scratch of one record
	bodies bodies
}

// New makes a Renderer. It writes once a record; who wants fewer writes gives it a buffered stream.
func New(out io.Writer, cfg Config) *Renderer {
	if cfg.MaxDecoded == 0 {
		cfg.MaxDecoded = defaultMaxDecoded
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	return &Renderer{cfg: cfg, out: terminal.Of(out).Coloured(cfg.Color), bodies: bodies{limit: cfg.MaxDecoded}}
}

// Write shows a record. What of the record is malformed is shown as that: the error is the stream's.
func (r *Renderer) Write(e Entry) error {
	r.buffer = r.buffer[:0]
	switch r.cfg.Format {
	case JSON:
		r.json(&e)
	case Raw:
		r.raw(&e)
	case Hex:
		r.hex(&e)
	default:
		r.human(&e)
	}
	if len(r.buffer) == 0 {
		return nil
	}
	_, err := r.out.Write(r.buffer)
	if cap(r.buffer) > 4<<20 { // a single message should not stay
		r.buffer = nil
	}
	return err
}

func (r *Renderer) raw(e *Entry) {
	p, err := e.Record.Publish()
	if err != nil { // another kind
		return
	}
	b := r.body(&p)
	r.buffer = append(append(r.buffer, b.octets...), r.cfg.Separator...)
}

func (r *Renderer) queueName(id segment.QueueID) string {
	if r.cfg.Names != nil {
		if name, ok := r.cfg.Names.QueueName(id); ok {
			return name
		}
	}
	return "#" + strconv.FormatUint(uint64(id), 10)
}

func (r *Renderer) vhostName(id uint32) string {
	if r.cfg.Names != nil {
		if name, ok := r.cfg.Names.VHostName(id); ok {
			return name
		}
	}
	return "#" + strconv.FormatUint(uint64(id), 10)
}
