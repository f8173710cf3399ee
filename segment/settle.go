package segment

import (
	"encoding/binary"
	"iter"
)

// Layout of a settle payload: the ranges follow, each the zigzag varint difference of its From to
// the one before and the uvarint To-From.
const (
	settleQueue  = 0 // u64
	settleReason = 8 // u8
	settleCount  = 9 // uvarint
)

// Settle says that every entry of Queue whose record is within a range has left it.
type Settle struct {
	Queue  QueueID
	Reason SettleReason

	ranges []byte // n ranges, checked by Record.Settle
	n      int
}

// Settle decodes and checks a settle record.
func (r Record) Settle() (Settle, error) {
	p := r.Payload()
	if r.Kind() != KindSettle || len(p) <= settleCount {
		return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "not a settle")
	}
	s := Settle{
		Queue:  QueueID(binary.LittleEndian.Uint64(p[settleQueue:])),
		Reason: SettleReason(p[settleReason]),
	}
	n, used := binary.Uvarint(p[settleCount:])
	if used <= 0 || n > uint64(len(p))/2 {
		return Settle{}, corrupt(RecordHeaderSize, r.LSN(), "bad range count")
	}
	s.ranges, s.n = p[settleCount+used:], int(n)
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
