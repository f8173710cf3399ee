package selection

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Names finds names for the numbers in records; ok is false when one is not known.
type Names interface {
	QueueName(segment.QueueID) (name string, ok bool)
	VHostName(uint32) (name string, ok bool)
}

// Filter is a Selection ready for use.
type Filter struct {
	bounds
	names Names

	allKinds bool
	kinds    [256]bool
	vhosts   []string
	queues   map[string]bool
	exchange []string
	keys     *keyMatcher
	headers  []headerTest
	body     []byte
	bodyLike *regexp.Regexp
	where    *expression

	messages bool // a test that only a message can pass
	limit    uint64
	matched  uint64
}

// Compile makes a Filter of what the flags say. now is when --since counts from. The names are asked while records
// are matched, and may become more meanwhile. An error names the flag and says what is wrong with it.
func (s *Selection) Compile(now time.Time, names Names) (*Filter, error) {
	f := &Filter{names: names, allKinds: len(s.Kinds) == 0, vhosts: s.VHosts, exchange: s.Exchange, limit: s.Limit}
	var err error
	if f.bounds, err = s.bounds(now); err != nil {
		return nil, err
	}
	if f.kinds, err = s.kindSet(); err != nil {
		return nil, err
	}
	if len(s.Queues) > 0 {
		f.queues = make(map[string]bool)
		for _, name := range s.Queues {
			f.queues[name] = true
		}
	}
	if len(s.Keys) > 0 {
		if f.keys, err = newKeyMatcher(s.Keys); err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
	}
	for _, text := range s.Headers {
		test, err := parseHeaderTest(text)
		if err != nil {
			return nil, err
		}
		f.headers = append(f.headers, test)
	}
	f.body = []byte(s.Body)
	if s.BodyLike != "" {
		if f.bodyLike, err = regexp.Compile(s.BodyLike); err != nil {
			return nil, fmt.Errorf("--body-regexp: %w", err)
		}
	}
	if s.Where != "" {
		if f.where, err = compileExpression(s.Where); err != nil {
			return nil, fmt.Errorf("--where: %w", err)
		}
	}
	f.messages = len(f.exchange) > 0 || f.keys != nil || len(f.headers) > 0 || len(f.body) > 0 || f.bodyLike != nil
	return f, nil
}

// Start is the record to begin with; find returns the first that the log took in at a time or later.
func (f *Filter) Start(find func(time.Time) segment.LSN) segment.LSN {
	if !f.fromTime.IsZero() {
		return find(f.fromTime)
	}
	return max(f.from, 1)
}

// Past reports whether a record, and so all behind it, is behind the end.
func (f *Filter) Past(lsn segment.LSN, when time.Time) bool {
	return f.to != 0 && lsn > f.to || !f.toTime.IsZero() && when.After(f.toTime)
}

// Done reports whether as many records have matched as were asked for.
func (f *Filter) Done() bool { return f.limit > 0 && f.matched >= f.limit }

// Bounded reports whether the selection has an end by number or time.
func (f *Filter) Bounded() bool { return f.to != 0 || !f.toTime.IsZero() }

// Matched is how many records have matched.
func (f *Filter) Matched() uint64 { return f.matched }

// Failed is for how many records --where could not be evaluated, as when it compares what is not there with a number;
// they did not match. The error is that of the first.
func (f *Filter) Failed() (uint64, error) {
	if f.where == nil {
		return 0, nil
	}
	return f.where.failed, f.where.err
}

// Match reports whether a record is asked for, which the log took in at a time; queues are those of a publish.
func (f *Filter) Match(r segment.Record, when time.Time, queues []segment.QueueID) bool {
	kind, lsn := r.Kind(), r.LSN()
	switch {
	case f.Done() || !f.allKinds && !f.kinds[kind] || f.messages && kind != segment.KindPublish,
		lsn < f.from || f.Past(lsn, when) || when.Before(f.fromTime),
		len(f.vhosts) > 0 && !f.ofVHost(r),
		f.queues != nil && !f.ofQueue(r, queues):
		return false
	}
	if kind == segment.KindPublish {
		if !f.matchPublish(r, when, queues) {
			return false
		}
	} else if f.where != nil && !f.where.other(f, r, when) {
		return false
	}
	f.matched++
	return true
}

func (f *Filter) matchPublish(r segment.Record, when time.Time, queues []segment.QueueID) bool {
	if !f.messages && f.where == nil {
		return true
	}
	p, err := r.Publish()
	if err != nil {
		return false
	}
	exchange, key := amqp.Keys(p.Keys).Split()
	switch {
	case len(f.exchange) > 0 && !slices.Contains(f.exchange, string(exchange)),
		f.keys != nil && !f.keys.match(key),
		len(f.headers) > 0 && !f.matchHeaders(p.Header),
		len(f.body) > 0 && !bytes.Contains(p.Body, f.body),
		f.bodyLike != nil && !f.bodyLike.Match(p.Body):
		return false
	}
	return f.where == nil || f.where.message(f, r, &p, when, queues)
}

func (f *Filter) ofVHost(r segment.Record) bool {
	name, ok := f.names.VHostName(r.VHost())
	return ok && slices.Contains(f.vhosts, name)
}

func (f *Filter) ofQueue(r segment.Record, queues []segment.QueueID) bool {
	switch r.Kind() {
	case segment.KindPublish:
		return slices.ContainsFunc(queues, f.isQueue)
	case segment.KindSettle:
		s, err := r.Settle()
		return err == nil && f.isQueue(s.Queue)
	case segment.KindHorizon:
		h, err := r.Horizon()
		return err == nil && f.isQueue(h.Queue)
	case segment.KindConsumer:
		change, err := amqp.RawTable(r.Payload()).Decode()
		id, ok := amqp.Int(change["queue"])
		return err == nil && ok && f.isQueue(segment.QueueID(id))
	}
	return false
}

func (f *Filter) isQueue(id segment.QueueID) bool {
	name, ok := f.names.QueueName(id)
	return ok && f.queues[name]
}
