package history

import "github.com/millrace-mq/millrace/segment"

// Survivors are the messages of a file that was relocated while the log was read, with the queues that it has left them
// for. Settlements of the others may have gone before they were applied. Make it with NewSurvivors.
type Survivors struct {
	span  Span
	holds map[entry]struct{}
}

type entry struct {
	queue segment.QueueID
	lsn   segment.LSN
}

// NewSurvivors returns those of a file's records.
func NewSurvivors(span Span) *Survivors { return &Survivors{span, make(map[entry]struct{})} }

// Add adds a message of the file, with its queues.
func (s *Survivors) Add(lsn segment.LSN, queues []segment.QueueID) {
	for _, id := range queues {
		s.holds[entry{id, lsn}] = struct{}{}
	}
}

// Keep drops what queues were thought to hold of a file that was relocated and is not among what survived.
func (c *Contents) Keep(s *Survivors) {
	for id, h := range c.queues {
		var gone []segment.LSN
		it := h.lsns.Iterator()
		it.AdvanceIfNeeded(uint64(s.span.First))
		for it.HasNext() {
			lsn := segment.LSN(it.Next())
			if lsn > s.span.Last {
				break
			}
			if _, ok := s.holds[entry{id, lsn}]; !ok {
				gone = append(gone, lsn)
			}
		}
		for _, lsn := range gone {
			h.lsns.Remove(uint64(lsn))
		}
	}
}
