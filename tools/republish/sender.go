package republish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
	"github.com/millrace-mq/millrace/tools/archive"
)

// Config is what a Sender does with messages.
type Config struct {
	Address client.Address
	Product string // what it calls itself
	Route   Route
	Declare bool // makes queues that are missing, durable ones
	Pace    Pace
	Window  int  // publishes that may wait for their confirm; 0 is 1000
	Stamp   bool // adds the headers that tell number and time
	// WithoutUserID leaves the user-id property out, which brokers compare with who is logged in.
	WithoutUserID bool
	// DeadLetters sends also what the broker itself had published again when it dead-lettered a message; only where
	// messages go as they were published, see Route.
	DeadLetters bool
	// Progress is the file that is kept true; "" is none. Begin is what it said before.
	Progress string
	Begin    Progress
	// Confirmed is told of so many more messages that are confirmed; Blocked why the broker takes none, and "" when it
	// does again. They may be nil. Blocked is called by another goroutine.
	Confirmed func(messages int64)
	Blocked   func(reason string)
}

// LeavesOut reports whether a message is not sent: a dead letter, where messages go as they were published.
func (c *Config) LeavesOut(m *archive.Message) bool {
	return m.Flags&segment.FlagDeadLettered != 0 && !c.DeadLetters && !c.Route.straight() && c.Route.Exchange == nil
}

// Result is what became of messages.
type Result struct {
	Messages  uint64            // that were confirmed, once for all their queues
	Publishes uint64            // made for them
	BodyBytes uint64            // of all messages that were sent, confirmed or not
	Unrouted  map[string]uint64 // that reached no queue, by exchange and key in words
	Nowhere   uint64            // that have no queue to go to
	Letters   uint64            // dead letters that were left out
	Last      segment.LSN       // all up to this record are confirmed; 0: none
}

// Lost is how many messages reached no queue.
func (r *Result) Lost() (sum uint64) {
	for n := range maps.Values(r.Unrouted) {
		sum += n
	}
	return sum
}

// Sender sends messages to a broker. One goroutine uses it.
type Sender struct {
	config    Config
	ctx       context.Context // of the connections
	hangUp    context.CancelFunc
	unhook    func() bool // from the caller's context
	target    *target
	publisher *client.Publisher
	schedule  schedule

	waiting  []sent // for their confirm, in order
	progress Progress
	noted    time.Time // when the progress was saved
	since    int       // messages since confirms were looked at
	header   []byte    // memory of what is changed
	cleaned  []byte
	result   Result

	mu struct { // a leaf
		sync.Mutex
		unrouted map[string]uint64
	}
}

// sent is a message that waits for its confirm.
type sent struct {
	tag uint64 // of its last publish
	lsn segment.LSN
}

const (
	// noteEvery is how often the progress is saved, and lookEvery after how many messages confirms are looked at.
	noteEvery = time.Second
	lookEvery = 64
	// manyUnrouted bounds the keys of messages that reached no queue.
	manyUnrouted = 1000
	// patience is how long an interrupted Sender waits for confirms.
	patience = 10 * time.Second
)

// Open connects. The context ends only what Open and Send wait for: Finish can still tell what was confirmed.
func Open(ctx context.Context, config Config) (*Sender, error) {
	if config.Window == 0 {
		config.Window = 1000
	}
	s := &Sender{config: config, schedule: schedule{pace: config.Pace}, progress: config.Begin, noted: time.Now()}
	s.mu.unrouted = map[string]uint64{}
	s.ctx, s.hangUp = context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, s.hangUp)
	conn, err := s.connect()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.hangUp()
		return nil, err
	}
	// A broker that does not read any more holds up a write, for which no context is asked.
	s.unhook = context.AfterFunc(ctx, func() { conn.SetTimeout(patience) })
	return s, nil
}

func (s *Sender) connect() (*client.Conn, error) {
	config := client.Config{Product: s.config.Product, Name: s.config.Product}
	var err error
	if s.target, err = newTarget(s.ctx, s.config.Address, config, s.config.Declare); err != nil {
		return nil, err
	}
	route := &s.config.Route
	switch { // what is known already is looked for before any message is read
	case route.Queue != "":
		err = s.target.queue(route.Queue)
	case route.Exchange != nil:
		err = s.target.exchange(*route.Exchange)
	}
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial(s.ctx, s.config.Address, config)
	if err != nil {
		return nil, err
	}
	s.publisher, err = client.NewPublisher(conn, client.PublisherConfig{
		Window: s.config.Window, Returned: s.returned, Blocked: s.config.Blocked,
	})
	return conn, err
}

// Send sends a message when it is due; nothing of it is kept. An error ends the sending; call Finish all the same.
func (s *Sender) Send(ctx context.Context, m *archive.Message) error {
	if s.config.LeavesOut(m) {
		s.result.Letters++
		return nil
	}
	if err := s.rest(ctx, m.Time); err != nil {
		return err
	}
	header, err := amqp.ParseHeader(m.Header)
	if err == nil && header.BodySize != uint64(len(m.Body)) {
		err = fmt.Errorf("the header tells of a body of %d bytes, and there are %d", header.BodySize, len(m.Body))
	}
	if err != nil {
		return fmt.Errorf("message of record %d: %w", m.LSN, err)
	}
	p := client.Publishing{Body: m.Body, Mandatory: true}
	if p.Header, err = s.edit(m, &header); err != nil {
		return fmt.Errorf("message of record %d: %w", m.LSN, err)
	}
	return s.publish(ctx, m, &header, p)
}

// edit changes the content header as far as was asked for.
func (s *Sender) edit(m *archive.Message, header *amqp.Header) ([]byte, error) {
	raw := m.Header
	if s.config.WithoutUserID && header.Has(amqp.PropertyUserID) {
		s.cleaned = header.AppendWithout(s.cleaned[:0], amqp.PropertyUserID)
		raw = s.cleaned
		without, err := amqp.ParseHeader(raw)
		if err != nil {
			return nil, err
		}
		*header = without
	}
	if !s.config.Stamp {
		return raw, nil
	}
	var err error
	s.header, err = stamp(s.header[:0], m, header)
	return s.header, err
}

// rest waits until a message is due. Meanwhile what was sent is confirmed and noted.
func (s *Sender) rest(ctx context.Context, recorded time.Time) error {
	for wait := s.schedule.wait(time.Now(), recorded); wait > time.Millisecond; {
		if err := s.publisher.Flush(); err != nil {
			return s.explain(err)
		}
		timer := time.NewTimer(min(wait, noteEvery/2))
		began := time.Now()
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		wait -= time.Since(began)
		if err := s.note(false); err != nil {
			return err
		}
	}
	return nil
}

// publish sends a message to each of its places.
func (s *Sender) publish(ctx context.Context, m *archive.Message, header *amqp.Header, p client.Publishing) error {
	r := &s.config.Route
	tag, err := uint64(0), error(nil)
	switch {
	case r.Queues:
		for _, name := range m.Queues {
			if tag, err = s.toQueue(ctx, name, header, p); err != nil {
				return err
			}
		}
	case r.Queue != "":
		tag, err = s.toQueue(ctx, r.Queue, header, p)
	default:
		exchange, key := m.Exchange, m.Key
		if r.Exchange != nil {
			exchange = *r.Exchange
		}
		if r.Key != nil {
			key = *r.Key
		}
		if err := s.target.exchange(exchange); err != nil {
			return err
		}
		tag, err = s.send(ctx, exchange, key, p)
	}
	if err != nil {
		return err
	}
	if tag == 0 {
		s.result.Nowhere++
		tag = s.result.Publishes // it counts as confirmed with the one before
	}
	s.result.BodyBytes += uint64(len(m.Body))
	s.waiting = append(s.waiting, sent{tag, m.LSN})
	if s.since++; s.since < lookEvery {
		return nil
	}
	return s.note(false)
}

func (s *Sender) toQueue(ctx context.Context, name string, header *amqp.Header, p client.Publishing) (uint64, error) {
	if err := s.target.queue(name); err != nil {
		return 0, err
	}
	if !copies(header) {
		return s.send(ctx, "", name, p)
	}
	exchange, key, err := s.target.privateKeys(name)
	if err != nil {
		return 0, err
	}
	return s.send(ctx, exchange, key, p)
}

func (s *Sender) send(ctx context.Context, exchange, key string, p client.Publishing) (uint64, error) {
	p.Keys = amqp.MakeKeys(exchange, key)
	tag, err := s.publisher.Publish(ctx, p)
	if err != nil {
		return 0, s.explain(err)
	}
	s.result.Publishes = tag
	return tag, nil
}

// explain adds what is to be done to an error of the broker's.
func (s *Sender) explain(err error) error {
	var closed *client.Closed
	var refused *client.Refused
	switch {
	case errors.As(err, &closed) && closed.Code == amqp.PreconditionFailed:
		return fmt.Errorf("%w; if it is about user_id: log in as a user with the tag impersonator, or give --without-user-id", err)
	case errors.As(err, &refused):
		for _, m := range s.waiting {
			if m.tag >= refused.Tag {
				return fmt.Errorf("message of record %d: %w", m.lsn, err)
			}
		}
	}
	return err
}

// returned counts a message that reached no queue. The publisher's goroutine calls it.
func (s *Sender) returned(keys amqp.Keys, _ amqp.ReplyCode, _ string) {
	exchange, key := keys.Split()
	name := fmt.Sprintf("exchange %q, key %q", exchange, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.mu.unrouted[name]; !known && len(s.mu.unrouted) >= manyUnrouted {
		name = "others"
	}
	s.mu.unrouted[name]++
}

// note takes notice of what has been confirmed, and saves the progress when it is time.
func (s *Sender) note(now bool) error {
	s.since = 0
	confirmed, n := s.publisher.Confirmed(), 0
	for n < len(s.waiting) && s.waiting[n].tag <= confirmed {
		s.result.Last = max(s.result.Last, s.waiting[n].lsn)
		n++
	}
	if n > 0 {
		s.waiting = append(s.waiting[:0], s.waiting[n:]...)
		s.result.Messages += uint64(n)
		if s.config.Confirmed != nil {
			s.config.Confirmed(int64(n))
		}
	}
	if s.config.Progress == "" || !now && time.Since(s.noted) < noteEvery {
		return nil
	}
	s.noted = time.Now()
	s.progress.LSN = max(s.config.Begin.LSN, s.result.Last)
	s.progress.Messages = s.config.Begin.Messages + s.result.Messages
	s.progress.Updated = s.noted.UTC().Truncate(time.Second)
	return s.progress.Save(s.config.Progress)
}

// Finish waits for what is not confirmed yet, saves the progress and ends the connections. When the context has ended, or
// ends meanwhile, it waits no longer than a few seconds. The result is true whatever the error is.
func (s *Sender) Finish(ctx context.Context) (Result, error) {
	err := s.publisher.Wait(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		soon, cancel := context.WithTimeout(s.ctx, patience)
		err = s.publisher.Wait(soon)
		cancel()
	}
	err = errors.Join(s.explain(err), s.note(true))
	if err == nil {
		err = s.publisher.Close()
	} else {
		s.publisher.HangUp()
	}
	err = errors.Join(err, s.target.close())
	s.unhook()
	s.hangUp()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%d messages were not confirmed in time", len(s.waiting))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Unrouted = s.mu.unrouted
	return s.result, err
}
