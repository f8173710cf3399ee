package broker

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// undertaker carries dead messages to their dead-letter exchanges, and those whose delay is over on from
// the exchange that held them. The message's new record and the one that says that it left its old queue are
// one batch of the log: so it is in the one place or in the other, also after a crash, and no transfer is
// lost or doubled.
type undertaker struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	// Owned by the goroutine.
	deaths   []queue.Death
	unburied map[*VHost][]queue.Death // nobody takes them, and they may not be lost (DLX-11)
	refused  map[*queue.Queue]int     // how many of a queue's nobody took this time
	untried  []queue.Death            // after so many that are enough for this time
	staging  staging
	names    naming        // in the batch
	carried  []queue.Death // of the batch, as the messages that it begins with
	view     *wal.View
	memory   []byte // of the message being carried
	forward  forwarder
}

const (
	// burialBytes is about how much is carried at once.
	burialBytes = 1 << 20
	// burialRetry is how long a message that nobody takes waits for the next attempt, and burialTries how many
	// of one queue are tried then if nobody takes any.
	burialRetry = time.Second
	burialTries = 1024
	// keepDeaths is the length of a list of deaths that is worth keeping.
	keepDeaths = 16 << 10
)

func newUndertaker(b *Broker) *undertaker {
	return &undertaker{
		broker: b, kick: make(chan struct{}, 1), done: make(chan struct{}), unburied: make(map[*VHost][]queue.Death),
		refused: make(map[*queue.Queue]int), names: naming{broker: b},
	}
}

func (u *undertaker) wake() { signal(u.kick) }

func (u *undertaker) run(stop <-chan struct{}) {
	defer close(u.done)
	u.view = u.broker.log.NewView()
	defer u.view.Release()
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	waits := false // for retry, which other deaths must not put off
	for {
		select {
		case <-stop:
			return
		case <-u.kick:
			u.buryAll(stop, false)
		case <-retry.C:
			waits = false
			u.buryAll(stop, true)
		}
		if len(u.unburied) > 0 && !waits {
			retry.Reset(burialRetry)
			waits = true
		}
	}
}

// buryAll carries what has died, and if again is set also what nobody took the last time.
func (u *undertaker) buryAll(stop <-chan struct{}, again bool) {
	hosts := u.broker.hosts()
	maps.DeleteFunc(u.unburied, func(vh *VHost, _ []queue.Death) bool { return !slices.Contains(hosts, vh) })
	for _, vh := range hosts {
		u.deaths = u.deaths[:0]
		if again {
			u.deaths = append(u.deaths, u.unburied[vh]...)
			delete(u.unburied, vh)
		}
		vh.state.Lock()
		u.deaths = vh.state.agenda.TakeDeaths(u.deaths)
		vh.state.Unlock()
		if err := u.bury(vh, stop); err != nil {
			u.broker.logger.Error("dead messages not carried to their exchange; they are dead-lettered after the next start",
				"vhost", vh.Name, "error", err)
		}
		if len(u.untried) > 0 { // they come first the next time
			u.unburied[vh] = slices.Concat(u.untried, u.unburied[vh])
		}
		clear(u.refused)
		clear(u.deaths)
		clear(u.untried)
		if u.untried = u.untried[:0]; cap(u.deaths) > keepDeaths {
			u.deaths, u.untried = nil, nil
		}
	}
}

// bury carries the deaths of one host, in the order in which they came (DLX-12).
func (u *undertaker) bury(vh *VHost, stop <-chan struct{}) error {
	now := time.Now()
	for i := range u.deaths {
		if err := u.stage(vh, &u.deaths[i], now); err != nil {
			return err
		}
		if u.staging.batch.Len() >= burialBytes || i == len(u.deaths)-1 {
			if err := u.flush(vh, now, stop); err != nil {
				return err
			}
		}
	}
	return nil
}

// stage prepares one message for its new queues. One that nobody wants there just leaves, unless its queue
// insists.
func (u *undertaker) stage(vh *VHost, d *queue.Death, now time.Time) error {
	vh.state.Lock()
	gone, rules := d.Queue.Deleted(), d.Queue.Rules()
	vh.state.Unlock()
	if gone {
		return nil
	}
	if !rules.DeadLetters && d.Cause != queue.CauseDue { // a policy took the exchange away since
		u.drop(vh, d)
		return nil
	}
	if u.refused[d.Queue] >= burialTries {
		u.untried = append(u.untried, *d)
		return nil
	}
	dead, err := storedPublication(u.view, d.LSN, &u.memory)
	var to *route
	if err == nil {
		if d.Cause == queue.CauseDue {
			to, err = u.release(vh, d, &dead, now)
		} else {
			to, err = u.letter(vh, d, &dead, &rules, now)
		}
	}
	if errors.Is(err, wal.ErrUnreadable) { // the disk may be mended
		if u.refused[d.Queue] == 0 {
			u.broker.logger.Error("dead message cannot be read from the disk; it stays and is tried again", "lsn", d.LSN, "error", err)
		}
		u.unburied[vh] = append(u.unburied[vh], *d)
		u.refused[d.Queue]++
		return nil
	}
	if err != nil {
		u.broker.logger.Error("dead message cannot be read from the log and is given up; see 'millrace log verify'",
			"lsn", d.LSN, "error", err)
		u.drop(vh, d)
		return nil
	}
	open, complete := u.staging.admitted(vh, to)
	switch insists := rules.LettersSurely && d.Cause != queue.CauseDue; {
	case insists && (!complete || !open.reached()):
		u.unburied[vh] = append(u.unburied[vh], *d)
		u.refused[d.Queue]++
	case len(open.queues) == 0: // no such exchange, nobody bound, all full, or a circle (DLX-02, DLX-08)
		u.drop(vh, d)
	default:
		u.staging.stage(vh.ID, &dead, open)
		u.carried = append(u.carried, *d)
	}
	return nil
}

// letter turns a dead message into its dead letter, and finds the letter's way.
func (u *undertaker) letter(vh *VHost, d *queue.Death, dead *Publication, rules *queue.Rules, now time.Time) (*route, error) {
	letter, err := newDeadLetter(dead, d.Queue.Name, d.Cause, rules, now)
	if err != nil {
		return nil, err
	}
	*dead = letter.publication
	return u.forward.letter(vh, letter)
}

// letter finds the way of a dead letter.
func (f *forwarder) letter(vh *VHost, l *deadLetter) (*route, error) {
	to, err := f.route(vh, l.publication.Keys.Exchange(), l.copies, &l.publication, false)
	if err != nil {
		return nowhere(err)
	}
	return to.without(vh, l.inCircle), nil
}

// release turns a message that an exchange held into one that goes on from there, and finds its way.
func (u *undertaker) release(vh *VHost, d *queue.Death, held *Publication, now time.Time) (*route, error) {
	copies, _, err := copiesOf(&held.Header)
	if err != nil {
		return nil, err
	}
	if err := negateDelay(&held.Header); err != nil {
		return nil, err
	}
	held.Time = now.UnixMilli() // its time to live begins now
	to, err := u.forward.route(vh, []byte(d.Queue.Name), copies, held, true)
	if err != nil {
		return nowhere(err)
	}
	return to, nil
}

// nowhere is the way of a message whose exchange is not there.
func nowhere(err error) (*route, error) {
	if _, missing := errors.AsType[router.NoExchange](err); missing {
		return &route{}, nil
	}
	return nil, err
}

// negateDelay marks a message as one that was held (chapter 7.6).
func negateDelay(h *amqp.Header) error {
	raw, _ := h.Headers()
	table, err := raw.Decode()
	if err != nil {
		return err
	}
	delay, _ := amqp.Int(table[headerDelay])
	table[headerDelay] = -delay
	*h, err = amqp.ParseHeader(h.AppendWithHeaders(nil, table.Raw()))
	return err
}

func (u *undertaker) drop(vh *VHost, d *queue.Death) {
	vh.state.Lock()
	d.Drop()
	vh.unlockState()
}

// storedPublication reads a message back from the log. It borrows from memory, which it makes large enough: what
// happens to a message under locks must not find out that the disk has failed.
func storedPublication(view *wal.View, lsn segment.LSN, memory *[]byte) (Publication, error) {
	if err := view.Read(lsn, func(record segment.Record) error {
		*memory = append((*memory)[:0], record...)
		return nil
	}); err != nil {
		return Publication{}, err
	}
	record := segment.Record(*memory)
	stored, err := record.Publish()
	if err != nil {
		return Publication{}, err
	}
	header, err := amqp.ParseHeader(stored.Header)
	if err != nil {
		return Publication{}, err
	}
	return Publication{
		Keys: amqp.Keys(stored.Keys), Header: header, Body: [][]byte{stored.Body}, Time: record.Time(),
		expiration: expirationOf(&header), flags: record.Flags() & (segment.FlagDeadLettered | segment.FlagBlindCopies),
	}, nil
}

// flush brings what is staged to the log, and then to the queues.
func (u *undertaker) flush(vh *VHost, now time.Time, stop <-chan struct{}) error {
	defer u.view.Release()
	defer func() {
		u.staging.reset()
		u.names.reset()
		if cap(u.memory) > burialBytes {
			u.memory = nil
		}
		clear(u.carried)
		u.carried = u.carried[:0]
	}()
	if len(u.carried) == 0 {
		return nil
	}
	u.logTransfers(vh, now.UnixMilli())
	var first segment.LSN
	if err := u.broker.appendPatiently(&u.staging.batch, stop, func(lsn segment.LSN) {
		first = lsn
		vh.state.Lock()
	}); err != nil {
		return err
	}
	u.names.appended(first)
	u.staging.pushLocked(first)
	for i := range u.carried {
		u.carried[i].Bury()
	}
	vh.unlockState()
	return nil
}

// logTransfers adds to the staged messages what they were before, and with whom.
func (u *undertaker) logTransfers(vh *VHost, now int64) {
	vh.state.Lock() // for the names
	defer vh.state.Unlock()
	batch := &u.staging.batch
	for i := range u.carried {
		d := &u.carried[i]
		if !d.Queue.Durable {
			continue
		}
		batch.AppendSettled(segment.SettleHead{
			Time: now, VHost: vh.ID, Queue: d.Queue.ID, Reason: segment.SettleTransfer,
			Consumer: u.names.name(batch, vh, d.By, now), Successor: segment.Reference{Place: i + 1},
		}, []segment.Range{{From: d.LSN, To: d.LSN}})
	}
}
