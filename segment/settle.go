package segment

import (
	"encoding/binary"
	"iter"
)

// Layout of a settle payload. Behind the reason stand the references that the record's flags tell of, each a uvarint,
// then the count of ranges and the ranges, each the zigzag varint difference of its From to the one before and the
// uvarint To-From. Without references the count is at settleRest.
const (
	settleQueue  = 0 // u64
	settleReason = 8 // u8
	settleRest   = 9
)

// Settle says that every entry of Queue whose record is within a range has left it, or with SettleReturn has come
// back to it.
type Settle struct {
	Queue  QueueID
	Reason SettleReason
	// Consumer is the record that tells who had the entries, 0 if they were with nobody or it is not known.
	Consumer LSN
	// Successor is the publish that the entry went on as, 0 if it did not.
	Successor LSN

	ranges []byte // n ranges, checked by Record.Settle
	n      int
}

// Settle decodes and checks a settle record.
func (r Record) Settle() (Settle, error) {
	p := r.Payload()
	if r.Kind() != KindSettle || len(p) <= settleRest {
		return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "not a settle")
	}
	s := Settle{
		Queue:  QueueID(binary.LittleEndian.Uint64(p[settleQueue:])),
		Reason: SettleReason(p[settleReason]),
	}
	p = p[settleRest:]
	ok := true
	if r.Flags()&FlagConsumer != 0 {
		if s.Consumer, p, ok = nextReference(p, r.LSN()); !ok {
			return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bad consumer")
		}
	}
	if r.Flags()&FlagSuccessor != 0 {
		if s.Successor, p, ok = nextReference(p, r.LSN()); !ok {
			return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bad successor")
		}
	}
	n, used := binary.Uvarint(p)
	if used <= 0 || n > uint64(len(p))/2 {
		return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bad range count")
	}
	s.ranges, s.n = p[used:], int(n)
	rest, previous := s.ranges, LSN(0)
	for range s.n {
		var got Range
		var ok bool
		if got, rest, ok = nextRange(rest, previous); !ok {
			return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bad range")
		}
		previous = got.From
	}
	if len(rest) != 0 {
		return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bytes after the last range")
	}
	return s, nil
}

// Count is the number of ranges.
func (s Settle) Count() int { return s.n }

// Ranges yields the ranges in their written order.
func (s Settle) Ranges() iter.Seq[Range] {
	return func(yield func(Range) bool) {
		rest, previous := s.ranges, LSN(0)
		for range s.n {
			got, after, ok := nextRange(rest, previous)
			if !ok || !yield(got) {
				return
			}
			rest, previous = after, got.From
		}
	}
}

func appendRanges(dst []byte, ranges []Range) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	previous := LSN(0)
	for _, r := range ranges {
		dst = binary.AppendVarint(dst, int64(r.From-previous))
		dst = binary.AppendUvarint(dst, uint64(r.To-r.From))
		previous = r.From
	}
	return dst
}

func nextRange(p []byte, previous LSN) (Range, []byte, bool) {
	delta, used := binary.Varint(p)
	if used <= 0 {
		return Range{}, nil, false
	}
	p = p[used:]
	span, used := binary.Uvarint(p)
	if used <= 0 {
		return Range{}, nil, false
	}
	from := previous + LSN(delta)
	to := from + LSN(span)
	if from == 0 || to < from {
		return Range{}, nil, false
	}
	return Range{from, to}, p[used:], true
}

// Reference names another record from a settle that is being built: by its number, or by its place in the same batch,
// whose numbers are given out later. The zero value names none.
type Reference struct {
	LSN   LSN
	Place int // as Batch.Count told when the record was added; 0 if LSN says it
}

func (r Reference) isNone() bool { return r == Reference{} }

// append adds the reference of a record whose place in the batch is given.
func (r Reference) append(dst []byte, place int) []byte {
	if r.Place != 0 {
		return binary.AppendUvarint(dst, uint64(place-r.Place)<<1|1)
	}
	return binary.AppendUvarint(dst, uint64(r.LSN)<<1)
}

// nextReference reads a reference of the record with that number, to one before it.
func nextReference(p []byte, by LSN) (LSN, []byte, bool) {
	v, used := binary.Uvarint(p)
	if used <= 0 {
		return 0, nil, false
	}
	to := LSN(v >> 1)
	if v&1 != 0 {
		to = by - to
	}
	if to == 0 || to >= by {
		return 0, nil, false
	}
	return to, p[used:], true
}
