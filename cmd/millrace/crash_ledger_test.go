package main_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
)

// messageID names a message of the crash test: the n-th of a publisher.
// Body and delivery mode follow from it, so that nothing else is stored.
type messageID struct {
	publisher int
	sequence  int // from 1
}

const (
	bodyMark     = "millrace crash test "
	bodyIDLength = len(bodyMark) + 16
)

// prefix begins the message's body and occurs nowhere else in a log.
func (m messageID) prefix() []byte {
	p := binary.BigEndian.AppendUint64([]byte(bodyMark), uint64(m.publisher))
	return binary.BigEndian.AppendUint64(p, uint64(m.sequence))
}

func (m messageID) random() *rand.Rand {
	return rand.New(rand.NewPCG(uint64(m.publisher), uint64(m.sequence)))
}

// body is mostly small, sometimes larger than a frame.
func (m messageID) body() []byte {
	random := m.random()
	filler := random.IntN([]int{300, 300, 300, 300, 300, 300, 300, 4000, 20000, 200}[random.IntN(10)])
	if random.IntN(100) == 0 {
		filler = random.IntN(200_000)
	}
	body := append(make([]byte, 0, bodyIDLength+filler+8), m.prefix()...)
	for len(body) < bodyIDLength+filler {
		body = binary.LittleEndian.AppendUint64(body, random.Uint64())
	}
	return body[:bodyIDLength+filler]
}

func (m messageID) transient() bool { return m.publisher != markers && m.sequence%10 == 0 }

// parseBody returns the message that a body belongs to, if all of it is right.
func parseBody(body []byte) (messageID, error) {
	if len(body) < bodyIDLength || string(body[:len(bodyMark)]) != bodyMark {
		return messageID{}, fmt.Errorf("body of %d bytes that was never published", len(body))
	}
	id := messageID{
		publisher: int(binary.BigEndian.Uint64(body[len(bodyMark):])),
		sequence:  int(binary.BigEndian.Uint64(body[len(bodyMark)+8:])),
	}
	if !bytes.Equal(body, id.body()) {
		return id, fmt.Errorf("%v: body differs from what was published", id)
	}
	return id, nil
}

func (m messageID) String() string {
	return fmt.Sprintf("message %d of publisher %d", m.sequence, m.publisher)
}

// ledger is the model of the crash test: what the clients were promised and
// what they saw. Its rules, the only promises that hold over a kill:
//
//   - A confirmed persistent message that no consumer acked is delivered
//     after the restart; so is whatever survived one restart.
//   - A message that was seen before is marked as redelivered, unless the
//     tail of the log was damaged in between: what told of the delivery may
//     have been there.
//   - First deliveries of a publisher's messages come in order.
//   - An ack holds while the broker lives; for ever after a clean stop, or
//     once a drain has shown that the message did not come back.
//   - A transient message does not survive the broker that took it.
type ledger struct {
	mu struct {
		sync.Mutex
		round    int
		sent     [publishers + 1][]sentMessage // by publisher; sequence-1
		queues   map[string]*queueLedger
		unmarked map[int]bool // rounds whose deliveries may come again without a mark
		faults   []string
		counters counters
	}
}

type counters struct{ published, confirmed, delivered, duplicates, resurrected, lost int }

type sentMessage struct {
	round     int
	confirmed bool // or has survived a restart, which promises as much
}

// queueLedger is the ledger's page for one queue.
type queueLedger struct {
	queue   crashQueue
	entries [publishers + 1][]queueEntry // by publisher; sequence-1
	newest  [publishers + 1]int          // highest sequence seen
}

// queueEntry is one message in one queue.
type queueEntry struct {
	seen   int  // last round in which it was delivered; 0 = never
	acked  int  // round in which an ack was sent; 0 = none since it was last seen
	closed bool // must not be seen again
}

func newLedger() *ledger {
	l := &ledger{}
	l.mu.unmarked = map[int]bool{}
	l.mu.queues = map[string]*queueLedger{}
	for _, queue := range crashQueues {
		l.mu.queues[queue.name] = &queueLedger{queue: queue}
	}
	return l
}

func (l *ledger) faultLocked(format string, args ...any) {
	l.mu.faults = append(l.mu.faults, fmt.Sprintf("round %d: ", l.mu.round)+fmt.Sprintf(format, args...))
}

// fault notes what the load itself found wrong.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faultLocked(format, args...)
}

// send names the publisher's next message; it is about to be published.
func (l *ledger) send(publisher int) messageID {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.counters.published++
	l.mu.sent[publisher] = append(l.mu.sent[publisher], sentMessage{round: l.mu.round})
	for _, page := range l.mu.queues {
		page.entries[publisher] = append(page.entries[publisher], queueEntry{})
	}
	return messageID{publisher, len(l.mu.sent[publisher])}
}

// sentBy is how many messages the publisher has sent.
func (l *ledger) sentBy(publisher int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.sent[publisher])
}

// confirm notes the broker's promise and returns how many it made so far.
func (l *ledger) confirm(id messageID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.sent[id.publisher][id.sequence-1].confirmed = true
	l.mu.counters.confirmed++
	return l.mu.counters.confirmed
}

// lastConfirmed is the newest confirmed message of each publisher.
func (l *ledger) lastConfirmed() []messageID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last []messageID
	for publisher, sent := range l.mu.sent {
		for i := len(sent) - 1; i >= 0; i-- {
			if sent[i].confirmed {
				last = append(last, messageID{publisher, i + 1})
				break
			}
		}
	}
	return last
}

// deliver checks a delivery against the rules.
func (l *ledger) deliver(queue string, id messageID, redelivered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.counters.delivered++
	page := l.mu.queues[queue]
	if id.publisher >= len(l.mu.sent) || id.sequence > len(l.mu.sent[id.publisher]) || !page.queue.takes(id.publisher) {
		l.faultLocked("%s: %v was never published to it", queue, id)
		return
	}
	sent := &l.mu.sent[id.publisher][id.sequence-1]
	entry := &page.entries[id.publisher][id.sequence-1]
	switch {
	case entry.closed:
		l.faultLocked("%s: %v came back, though it was gone for good (sent in round %d, seen in %d, acked in %d)",
			queue, id, sent.round, entry.seen, entry.acked)
	case id.transient() && sent.round < l.mu.round:
		l.faultLocked("%s: transient %v survived from round %d", queue, id, sent.round)
	case entry.acked == l.mu.round:
		l.faultLocked("%s: %v came back after its ack, without a restart", queue, id)
	case entry.seen > 0 && !redelivered && !l.mu.unmarked[entry.seen]:
		l.faultLocked("%s: %v came again without being marked as redelivered (seen in round %d)", queue, id, entry.seen)
	case entry.seen == 0 && page.queue.ordered && id.sequence < page.newest[id.publisher]:
		l.faultLocked("%s: %v came first after message %d", queue, id, page.newest[id.publisher])
	}
	if entry.seen > 0 {
		l.mu.counters.duplicates++
	}
	if entry.acked > 0 {
		l.mu.counters.resurrected++
	}
	if sent.round < l.mu.round {
		sent.confirmed = true // recovered, so it is in the log for good
	}
	page.newest[id.publisher] = max(page.newest[id.publisher], id.sequence)
	entry.seen, entry.acked = l.mu.round, 0
}

// ack notes that an ack is about to be sent.
func (l *ledger) ack(queue string, id messageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.queues[queue].entries[id.publisher][id.sequence-1].acked = l.mu.round
}

// drained is told once a consumer took everything from the queue, and acked
// it, before anything else was published in this round.
func (l *ledger) drained(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := l.mu.queues[queue]
	for publisher := range page.entries {
		for i := range page.entries[publisher] {
			entry, sent := &page.entries[publisher][i], l.mu.sent[publisher][i]
			id := messageID{publisher, i + 1}
			if entry.closed || sent.round == l.mu.round || !page.queue.takes(publisher) {
				continue
			}
			if sent.confirmed && entry.acked == 0 && !id.transient() {
				l.mu.counters.lost++
				l.faultLocked("%s: LOST %v, sent in round %d and seen in %d", queue, id, sent.round, entry.seen)
			}
			entry.closed = entry.seen < l.mu.round
		}
	}
}

// begin starts the next round.
func (l *ledger) begin() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.round++
	return l.mu.round
}

// stoppedCleanly is told after a clean stop that no client was cut off by.
func (l *ledger) stoppedCleanly() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, page := range l.mu.queues {
		for publisher := range page.entries {
			for i := range page.entries[publisher] {
				entry := &page.entries[publisher][i]
				entry.closed = entry.closed || entry.acked == l.mu.round
			}
		}
	}
}

// flagsLost is told when the round ended with damage to what tells of its
// deliveries.
func (l *ledger) flagsLost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.unmarked[l.mu.round] = true
}

// result returns the sums and the broken rules so far.
func (l *ledger) result() (counters, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.counters, l.mu.faults
}
