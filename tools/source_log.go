package tools

import (
	"context"
	"path/filepath"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/selection"
)

// logSource is the messages of a data folder's log: those that were published, or those that queues hold.
type logSource struct {
	command *cobra.Command
	data    string
	asked   selection.Selection
	held    bool   // what the queues that are asked for hold
	at      string // then: when; "" is now
	moment  moment // the same
	now     time.Time
	nothing bool // all has been dealt with

	p      *past
	filter *selection.Filter
	shown  string // what a progress line says; "" is none
}

// heldFlags gives a command the flags that ask for what queues hold.
func heldFlags(c *cobra.Command, s *logSource) {
	c.Flags().BoolVar(&s.held, "held", false, "only messages that the queues of --queue hold now, or at the time of --at")
	c.Flags().StringVar(&s.at, "at", "", "what the queues of --queue held then: a `time` as in 2026-01-02T15:04:05.123Z, or the number of a record; implies --held")
}

// check looks at the flags.
func (s *logSource) check() error {
	s.held = s.held || s.at != ""
	if s.held && len(s.asked.Queues) == 0 {
		return command.Usagef("--held and --at are about what queues hold: name them with --queue")
	}
	if _, err := s.asked.Compile(s.now, (*past)(nil)); err != nil {
		return command.Usage(err)
	}
	if s.at == "" {
		return nil
	}
	var err error
	s.moment.lsn, s.moment.time, err = selection.Place("--at", s.at)
	return command.Usage(err)
}

// String is where the data folder is.
func (s *logSource) String() string {
	path, err := filepath.Abs(s.data)
	if err != nil {
		return s.data
	}
	return path
}

func (s *logSource) skip(to segment.LSN, messages uint64) {
	s.asked, s.nothing = remaining(s.asked, to, messages)
}

func (s *logSource) each(ctx context.Context, fn func(*archive.Message) error) (err error) {
	if s.nothing {
		return nil
	}
	if s.p != nil {
		s.p.close()
	}
	if s.p, err = openPast(ctx, s.data); err != nil {
		return err
	}
	if s.filter, err = s.asked.Compile(s.now, s.p); err != nil {
		return command.Usage(err)
	}
	if s.held {
		return s.eachHeld(ctx, fn)
	}
	from := s.filter.Start(s.p.reader.Find)
	if s.shown != "" {
		s.p.show(s.command, s.shown, from)
	}
	s.p.begin(from)
	for !s.filter.Done() && s.p.next() && !s.filter.Past(s.p.lsn(), s.p.when) {
		if s.p.record().Kind() != segment.KindPublish || !s.filter.Match(s.p.record(), s.p.when, s.p.queues) {
			continue
		}
		if err := s.give(fn, nil); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// eachHeld finds what the queues hold, and then reads it.
func (s *logSource) eachHeld(ctx context.Context, fn func(*archive.Message) error) error {
	queues, all, err := s.contents()
	if err != nil || all.IsEmpty() {
		return err
	}
	if s.shown != "" {
		s.p.show(s.command, s.shown, segment.LSN(all.Minimum()))
	}
	s.p.begin(segment.LSN(all.Minimum()))
	last := segment.LSN(all.Maximum())
	for !s.filter.Done() && s.p.next() && s.p.lsn() <= last {
		lsn := s.p.lsn()
		if !all.Contains(uint64(lsn)) || !s.filter.Match(s.p.record(), s.p.when, s.p.queues) {
			continue
		}
		here := func(id segment.QueueID) bool { return queues[id] != nil && queues[id].Contains(lsn) }
		if err := s.give(fn, here); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// contents reads the log up to the moment, and returns what the queues that are asked for held, by queue and together.
func (s *logSource) contents() (map[segment.QueueID]*history.Held, *roaring64.Bitmap, error) {
	contents, last, err := s.p.contents(s.command, s.moment)
	if err != nil {
		return nil, nil, err
	}
	hosts := s.asked.VHosts
	if len(hosts) == 0 {
		hosts = []string{""} // the only one that has such a queue
	}
	queues, all := map[segment.QueueID]*history.Held{}, roaring64.New()
	for _, name := range s.asked.Queues {
		for _, host := range hosts {
			q, err := findQueue(s.p.topology, name, host, last)
			if err != nil {
				return nil, nil, err
			}
			queues[q.ID] = contents.Queue(q.ID)
			for lsn := range queues[q.ID].LSNs() {
				all.Add(uint64(lsn))
			}
		}
	}
	return queues, all, nil
}

// give makes a message of the present record. Of its queues it names those that are wanted, nil for all.
func (s *logSource) give(fn func(*archive.Message) error, wanted func(segment.QueueID) bool) error {
	r := s.p.record()
	publish, err := r.Publish()
	if err != nil {
		s.p.fault(err)
		return nil
	}
	exchange, key, err := publish.Names()
	if err != nil {
		s.p.fault(err)
		return nil
	}
	m := archive.Message{
		LSN: r.LSN(), Time: s.p.when, Flags: r.Flags(), Exchange: string(exchange), Key: string(key),
		Header: publish.Header, Body: publish.Body,
	}
	m.VHost, _ = s.p.VHostName(r.VHost())
	for _, id := range s.p.queues {
		if wanted != nil && !wanted(id) {
			continue
		}
		if q := s.p.topology.Queue(id); q != nil && q.Keeps == "" { // an exchange's own queue has no name
			m.Queues = append(m.Queues, q.Name)
		}
	}
	return fn(&m)
}

// finish tells what was wrong with the log.
func (s *logSource) finish() error {
	if s.p == nil {
		return nil
	}
	defer s.p.close()
	if s.p.cursor == nil {
		return nil
	}
	tellFailed(s.command, s.filter)
	if missed := s.p.cursor.Missed(); missed > 0 {
		tell(s.command, "%d records were given up by the broker while they were read, and are left out", missed)
	}
	return s.p.finish(s.command)
}
