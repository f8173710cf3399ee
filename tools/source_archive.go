package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/selection"
)

// archiveSource is the messages of an archive.
type archiveSource struct {
	command *cobra.Command
	path    string // "-" is standard input
	asked   selection.Selection
	chosen  bool // not all are asked for
	after   segment.LSN
	nothing bool
	damaged bool // goes on behind damage
	now     time.Time

	file   *os.File
	reader *archive.Reader
	head   archive.Head
	opened bool // and nothing read of it
	faults []error
	names  archiveNames
	filter *selection.Filter
	batch  segment.Batch
	queues []segment.QueueID
}

// open reads the archive's head.
func (s *archiveSource) open() error {
	in := s.command.InOrStdin()
	if s.path != "-" {
		if s.file != nil {
			_ = s.file.Close() // it was only read
		}
		var err error
		if s.file, err = os.Open(s.path); err != nil {
			return err
		}
		in = s.file
	} else if s.reader != nil {
		return errors.New("standard input can be read only once")
	}
	var err error
	if s.reader, err = archive.NewReader(in); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.head, s.opened = s.reader.Head(), true
	return nil
}

// check looks at the flags.
func (s *archiveSource) check() error {
	_, err := s.asked.Compile(s.now, &s.names)
	return command.Usage(err)
}

// String is where the archive is.
func (s *archiveSource) String() string {
	if s.path == "-" {
		return "standard input"
	}
	if path, err := filepath.Abs(s.path); err == nil {
		return path
	}
	return s.path
}

func (s *archiveSource) skip(to segment.LSN, messages uint64) {
	s.asked, s.nothing = remaining(s.asked, to, messages)
	s.after = to
}

func (s *archiveSource) each(ctx context.Context, fn func(*archive.Message) error) error {
	if s.nothing {
		return nil
	}
	if !s.opened {
		if err := s.open(); err != nil {
			return err
		}
	}
	s.opened, s.faults = false, nil
	var err error
	if s.filter, err = s.asked.Compile(s.now, &s.names); err != nil {
		return command.Usage(err)
	}
	for n := 0; ; n++ {
		if n%between == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		m, err := s.reader.Next()
		var damage *archive.Damage
		switch {
		case err == io.EOF:
			return nil
		case s.damaged && errors.As(err, &damage), s.damaged && errors.Is(err, archive.ErrCutOff):
			s.faults = append(s.faults, err)
			if damage == nil {
				return nil
			}
			continue
		case errors.As(err, &damage):
			return fmt.Errorf("%s: %w; --skip-damaged goes on behind it", s.path, err)
		case err != nil:
			return fmt.Errorf("%s: %w", s.path, err)
		}
		if m.LSN <= s.after && m.LSN != 0 {
			continue
		}
		if s.chosen && !s.match(m) {
			continue
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}

// match asks the filter, which knows records: it is shown the one that the message came from.
func (s *archiveSource) match(m *archive.Message) bool {
	s.queues = s.queues[:0]
	for _, name := range m.Queues {
		s.queues = append(s.queues, segment.QueueID(s.names.number(name)))
	}
	s.batch.Reset()
	s.batch.BeginPublish(segment.PublishHead{
		Time: m.Time.UnixMilli(), Flags: m.Flags, VHost: uint32(s.names.number(m.VHost)), Queues: s.queues,
		Keys: amqp.MakeKeys(m.Exchange, m.Key), Header: m.Header, BodySize: len(m.Body),
	})
	s.batch.AppendBody(m.Body)
	s.batch.EndPublish()
	if s.batch.Err() != nil {
		return false
	}
	octets := s.batch.Seal(max(m.LSN, 1), 0, m.Time.UnixMilli(), 0)
	record, err := segment.RecordAt(octets, segment.BatchHeaderSize)
	return err == nil && s.filter.Match(record, m.Time, s.queues)
}

// finish tells of damage that was passed over.
func (s *archiveSource) finish() error {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
	if s.filter != nil {
		tellFailed(s.command, s.filter)
	}
	for _, fault := range s.faults {
		tell(s.command, "%s: %s", s.path, fault)
	}
	if len(s.faults) > 0 {
		return command.ErrFaults
	}
	return nil
}

// archiveNames gives names numbers, as they have in records.
type archiveNames struct {
	names   []string
	numbers map[string]int
}

func (a *archiveNames) number(name string) int {
	if n, ok := a.numbers[name]; ok {
		return n
	}
	if a.numbers == nil {
		a.numbers = map[string]int{}
	}
	a.names = append(a.names, name)
	a.numbers[name] = len(a.names)
	return len(a.names)
}

func (a *archiveNames) name(n uint64) (string, bool) {
	if n < 1 || n > uint64(len(a.names)) {
		return "", false
	}
	return a.names[n-1], true
}

// QueueName and VHostName find names by their numbers.
func (a *archiveNames) QueueName(id segment.QueueID) (string, bool) { return a.name(uint64(id)) }

// VHostName is the name of a virtual host.
func (a *archiveNames) VHostName(id uint32) (string, bool) { return a.name(uint64(id)) }
