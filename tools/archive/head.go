package archive

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/millrace-mq/millrace/segment"
)

// Content says what the messages of an archive are.
type Content uint64

const (
	// Records are messages as they were published, whatever became of them since.
	Records Content = 0
	// Held are the messages that queues held at a moment.
	Held Content = 1
)

// Head says what an archive is.
type Head struct {
	Writer    string    // the program that wrote it
	Source    string    // where the messages come from, in words
	Selection string    // which were asked for, in words: the flags, as they would be typed
	Created   time.Time // to the millisecond
	Content   Content
	At        time.Time // of Held, the moment; zero: when it was created
	Queues    []string  // of Held, those that were asked for
}

const (
	headWriter    protowire.Number = 1
	headSource    protowire.Number = 2
	headSelection protowire.Number = 3
	headCreated   protowire.Number = 4
	headContent   protowire.Number = 5
	headAt        protowire.Number = 6
	headQueue     protowire.Number = 7
)

func (h *Head) append(dst []byte) []byte {
	dst = appendText(dst, headWriter, h.Writer)
	dst = appendText(dst, headSource, h.Source)
	dst = appendText(dst, headSelection, h.Selection)
	dst = appendTime(dst, headCreated, h.Created)
	dst = appendNumber(dst, headContent, uint64(h.Content))
	dst = appendTime(dst, headAt, h.At)
	for _, name := range h.Queues {
		dst = protowire.AppendTag(dst, headQueue, protowire.BytesType)
		dst = protowire.AppendString(dst, name)
	}
	return dst
}

func (h *Head) decode(data []byte) error {
	return eachField(data, func(f field) error {
		switch f.number {
		case headWriter:
			h.Writer = string(f.bytes())
		case headSource:
			h.Source = string(f.bytes())
		case headSelection:
			h.Selection = string(f.bytes())
		case headCreated:
			h.Created = f.time()
		case headContent:
			h.Content = Content(f.uint())
		case headAt:
			h.At = f.time()
		case headQueue:
			h.Queues = append(h.Queues, string(f.bytes()))
		}
		return f.err
	})
}

// Totals count what is in an archive. Its end states them, so that what is missing is noticed.
type Totals struct {
	Messages    uint64
	BodyBytes   uint64
	First, Last segment.LSN // the least and the greatest number; 0: no message has one
	From, To    time.Time   // the earliest and the latest time; zero: no message has one
}

const (
	endMessages  protowire.Number = 1
	endBodyBytes protowire.Number = 2
	endFirst     protowire.Number = 3
	endLast      protowire.Number = 4
	endFrom      protowire.Number = 5
	endTo        protowire.Number = 6
)

// Add counts a message.
func (t *Totals) Add(m *Message) {
	t.Messages++
	t.BodyBytes += uint64(len(m.Body))
	if m.LSN != 0 {
		if t.First == 0 || m.LSN < t.First {
			t.First = m.LSN
		}
		t.Last = max(t.Last, m.LSN)
	}
	if m.Time.IsZero() {
		return
	}
	if t.From.IsZero() || m.Time.Before(t.From) {
		t.From = m.Time
	}
	if m.Time.After(t.To) {
		t.To = m.Time
	}
}

func (t *Totals) append(dst []byte) []byte {
	dst = appendNumber(dst, endMessages, t.Messages)
	dst = appendNumber(dst, endBodyBytes, t.BodyBytes)
	dst = appendNumber(dst, endFirst, uint64(t.First))
	dst = appendNumber(dst, endLast, uint64(t.Last))
	dst = appendTime(dst, endFrom, t.From)
	return appendTime(dst, endTo, t.To)
}

func (t *Totals) decode(data []byte) error {
	return eachField(data, func(f field) error {
		switch f.number {
		case endMessages:
			t.Messages = f.uint()
		case endBodyBytes:
			t.BodyBytes = f.uint()
		case endFirst:
			t.First = segment.LSN(f.uint())
		case endLast:
			t.Last = segment.LSN(f.uint())
		case endFrom:
			t.From = f.time()
		case endTo:
			t.To = f.time()
		}
		return f.err
	})
}
