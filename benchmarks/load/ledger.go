package load

// ledger is one consumer's account of what it got from its queue. It is owned by the goroutine that reads
// the consumer's connection; when that has ended, audit compares it with what was sent.
type ledger struct {
	messages  uint64
	stamped   bool
	producers []*track // nil: nothing came of that one yet
	foreign   uint64   // stamps of no message of this run
}

// track is what came from one producer. A chunk of its messages that all came takes no memory any more, so
// that a run may be long.
type track struct {
	chunks     []chunk
	end        uint64 // one past the highest that came
	duplicated uint64
	reordered  uint64
	spare      *[chunkWords]uint64 // zeros
}

// chunk is what came of chunkSize messages in a row.
type chunk struct {
	seen *[chunkWords]uint64 // bit n: the n-th came; nil: none, or all
	came int
}

const (
	chunkSize  = 1 << 16
	chunkWords = chunkSize / 64
	// maxGap is how far ahead of all others a message may come: a stamp beyond it is none of ours, and costs
	// no memory.
	maxGap = 1 << 28
)

func newLedger(w *Workload) *ledger {
	l := &ledger{stamped: w.stamped()}
	if l.stamped {
		l.producers = make([]*track, w.Producers)
	}
	return l
}

// note enters a message by the first octets of its body; first says whether it may be of this run and did
// not come before.
func (l *ledger) note(body []byte) (s stamp, first bool) {
	if len(body) < stampSize {
		l.foreign++
		return s, false
	}
	s = parseStamp(body)
	if int(s.producer) >= len(l.producers) {
		l.foreign++
		return s, false
	}
	t := l.producers[s.producer]
	if t == nil {
		t = &track{}
		l.producers[s.producer] = t
	}
	if s.sequence >= t.end+maxGap {
		l.foreign++
		return s, false
	}
	return s, t.note(s.sequence)
}

// note reports whether the message came for the first time.
func (t *track) note(sequence uint64) bool {
	at := int(sequence / chunkSize)
	for at >= len(t.chunks) {
		t.chunks = append(t.chunks, chunk{})
	}
	c := &t.chunks[at]
	if c.seen == nil {
		if c.came == chunkSize {
			t.duplicated++
			return false
		}
		if c.seen, t.spare = t.spare, nil; c.seen == nil {
			c.seen = new([chunkWords]uint64)
		}
	}
	word, bit := &c.seen[sequence%chunkSize/64], uint64(1)<<(sequence%64)
	switch {
	case *word&bit != 0:
		t.duplicated++
		return false
	case sequence < t.end:
		t.reordered++
	default:
		t.end = sequence + 1
	}
	*word |= bit
	if c.came++; c.came == chunkSize {
		clear(c.seen[:])
		t.spare, c.seen = c.seen, nil
	}
	return true
}

// has says whether a message came.
func (t *track) has(sequence uint64) bool {
	at := sequence / chunkSize
	if at >= uint64(len(t.chunks)) {
		return false
	}
	c := &t.chunks[at]
	if c.seen == nil {
		return c.came == chunkSize
	}
	return c.seen[sequence%chunkSize/64]>>(sequence%64)&1 != 0
}
