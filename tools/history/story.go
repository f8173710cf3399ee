package history

import (
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Happening is what happens to a message.
type Happening string

// What happens to a message. Those from Acked to Transferred are the reasons of settlements.
const (
	Published    Happening = "published"     // it came to the queue
	HandedOut    Happening = "handed-out"    // it may have been handed to a client, from here on
	Returned     Happening = "return"        // a consumer gave it back, or was gone
	Acked        Happening = "ack"           // a consumer has acknowledged it
	NoAcked      Happening = "no-ack"        // it was handed to a consumer that acknowledges nothing
	Rejected     Happening = "reject"        // a consumer refused it
	Expired      Happening = "expire"        // its time to live was over
	Purged       Happening = "purge"         // the queue was purged
	Dropped      Happening = "drop"          // the queue was full, or nobody took the dead letter
	Transferred  Happening = "transfer"      // it went on as another record: dead-lettered, or its delay was over
	QueueDeleted Happening = "queue-deleted" // the queue went, and the message with it
	Restarted    Happening = "restart"       // the broker started anew, and the message is transient
)

// Event is something that happened to a message in a queue.
type Event struct {
	What  Happening
	LSN   segment.LSN // of the record that tells
	Time  time.Time   // when the log took that in
	Queue segment.QueueID
	// Successor is the record as which a transferred message went on; 0 if the log does not tell.
	Successor segment.LSN
	// Consumer is who, if the log tells.
	Consumer *Consumer
}

// Story gathers what became of one message. Make it with NewStory, and apply all records from the message's own on. One
// goroutine uses it.
type Story struct {
	lsn       segment.LSN
	events    []Event
	holding   []segment.QueueID
	transient bool
	found     bool

	// What the dead are carried on as stands in the log right before the settlements that say so, in their order.
	carried  []carried
	settling bool // the last record was a settlement
}

// carried is a publish that may be another message's successor.
type carried struct {
	lsn   segment.LSN
	host  uint32
	queue string // that the message has left; empty for one whose delay is over
	taken bool
}

// mostCarried is more than the broker carries in one batch.
const mostCarried = 1 << 15

// NewStory makes a story of the message of a record.
func NewStory(lsn segment.LSN) *Story { return &Story{lsn: lsn} }

// Found reports whether the message's record has been applied, and is a publish.
func (s *Story) Found() bool { return s.found }

// Ended reports whether no queue holds the message any more, so that nothing more can happen to it.
func (s *Story) Ended() bool { return s.found && len(s.holding) == 0 }

// Holding are the queues that hold the message.
func (s *Story) Holding() []segment.QueueID { return s.holding }

// Transient reports whether the message is transient: the log need not tell how it leaves its queues.
func (s *Story) Transient() bool { return s.transient }

// Events are what happened, in the order of the log.
func (s *Story) Events() []Event { return s.events }

// Apply takes notice of the next record, which the log took in at a time, with the queues of a publish. The
// topology has taken notice of it before. An error says that the record cannot be decoded.
func (s *Story) Apply(r segment.Record, when time.Time, queues []segment.QueueID, t *Topology) error {
	if r.LSN() < s.lsn {
		return nil
	}
	e := Event{LSN: r.LSN(), Time: when}
	switch r.Kind() {
	case segment.KindPublish:
		return s.publish(e, r, queues)
	case segment.KindSettle:
		settled, err := r.Settle()
		if err != nil {
			return err
		}
		s.settle(e, r, &settled, t)
	case segment.KindHorizon:
		horizon, err := r.Horizon()
		if err != nil {
			return err
		}
		s.horizon(e, horizon)
	default:
		s.topology(e, r, t)
	}
	return nil
}

func (s *Story) publish(e Event, r segment.Record, queues []segment.QueueID) error {
	p, err := r.Publish()
	if err != nil {
		return err
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		return err
	}
	if s.settling || len(s.carried) == mostCarried {
		s.carried, s.settling = s.carried[:0], false
	}
	if from, ok := carriedFrom(r, &header); ok {
		s.carried = append(s.carried, carried{lsn: r.LSN(), host: r.VHost(), queue: from})
	}
	if r.LSN() != s.lsn {
		return nil
	}
	s.found = true
	s.transient = r.Flags()&segment.FlagTransient != 0 || header.DeliveryMode != amqp.Persistent
	s.holding = slices.Clone(queues)
	for _, id := range queues {
		s.tell(e, Published, id)
	}
	return nil
}

// carriedFrom returns the queue that a message has left that the broker published again: the newest of its deaths tells.
func carriedFrom(r segment.Record, header *amqp.Header) (queue string, ok bool) {
	table, _ := header.Headers()
	if r.Flags()&segment.FlagDeadLettered == 0 {
		delay, _, err := table.Lookup("x-delay")
		n, isInt := delay.Int()
		return "", err == nil && isInt && n < 0
	}
	deaths, _, err := table.Lookup("x-death")
	array, isArray := deaths.Array()
	if err != nil || !isArray || !array.Next() {
		return "", false
	}
	death, _ := array.Value().Table()
	name, _, err := death.Lookup("queue")
	text, isText := name.Longstr()
	return string(text), err == nil && isText
}

func (s *Story) settle(e Event, r segment.Record, settled *segment.Settle, t *Topology) {
	s.settling = true
	e.Consumer = t.Consumer(settled.Consumer)
	successor := settled.Successor
	if settled.Reason == segment.SettleTransfer && successor == 0 { // of before settles named it
		successor = s.successor(r.VHost(), settled.Queue, t)
	}
	if !s.holds(settled.Queue) {
		return
	}
	for at := range settled.Ranges() {
		if at.From <= s.lsn && s.lsn <= at.To {
			if !leaves(settled.Reason) {
				s.tell(e, Returned, settled.Queue)
				return
			}
			e.Successor = successor
			s.leave(e, Happening(settled.Reason.String()), settled.Queue)
			return
		}
	}
}

// successor takes the first message that was carried from a queue: settlements stand in the order of what they carry.
func (s *Story) successor(host uint32, id segment.QueueID, t *Topology) segment.LSN {
	q := t.Queue(id)
	if q == nil {
		return 0
	}
	name := q.Name
	if q.Keeps != "" {
		name = ""
	}
	for i := range s.carried {
		if c := &s.carried[i]; !c.taken && c.host == host && c.queue == name {
			c.taken = true
			return c.lsn
		}
	}
	return 0
}

func (s *Story) horizon(e Event, h segment.Horizon) {
	if !s.holds(h.Queue) {
		return
	}
	told := func(have Event) bool { return have.What == HandedOut && have.Queue == h.Queue }
	if h.LSN < s.lsn { // it falls back to what was handed out when the last consumer has gone
		s.events = slices.DeleteFunc(s.events, told)
		return
	}
	if !slices.ContainsFunc(s.events, told) {
		s.tell(e, HandedOut, h.Queue)
	}
}

func (s *Story) topology(e Event, r segment.Record, t *Topology) {
	for _, q := range t.Deleted() {
		if s.holds(q.ID) {
			s.leave(e, QueueDeleted, q.ID)
		}
	}
	if t.Started().LSN != r.LSN() || !s.transient {
		return
	}
	for _, id := range slices.Clone(s.holding) {
		if q := t.Queue(id); q == nil || !q.survives() {
			s.leave(e, Restarted, id)
		}
	}
}

func (s *Story) holds(id segment.QueueID) bool { return slices.Contains(s.holding, id) }

func (s *Story) tell(e Event, what Happening, id segment.QueueID) {
	e.What, e.Queue = what, id
	s.events = append(s.events, e)
}

func (s *Story) leave(e Event, what Happening, id segment.QueueID) {
	s.tell(e, what, id)
	s.holding = slices.DeleteFunc(s.holding, func(have segment.QueueID) bool { return have == id })
}
