package tools

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/terminal"
	"github.com/millrace-mq/millrace/wal"
)

// past reads a log, and knows at each record what existed then and what it was called. One goroutine uses it.
type past struct {
	reader   *wal.Reader
	topology *history.Topology
	cursor   *wal.Cursor
	progress *terminal.Progress // nil: none is shown
	ctx      context.Context
	until    moment // records behind it are not looked at

	when    time.Time         // when the log took the present record in
	queues  []segment.QueueID // of the present record, a publish
	read    int64             // bytes of records since the progress was told
	records int               // read
	lost    uint64            // records that the cursor has passed over
	faults  []string          // that records were found to have
}

// between is how many records are read before a look at whether somebody has interrupted.
const between = 1024

// errEmpty says that a log has no record yet.
var errEmpty = errors.New("the log is empty")

// mostFaults bounds the faults that are told of records.
const mostFaults = 100

// openPast opens a data folder's log. Call begin, then next.
func openPast(ctx context.Context, data string) (*past, error) {
	reader, err := wal.OpenReader(logOf(data))
	if err != nil {
		return nil, err
	}
	return &past{reader: reader, topology: history.NewTopology(), ctx: ctx}, nil
}

func (p *past) close() {
	if p.cursor != nil {
		p.cursor.Close()
	}
	if p.progress != nil {
		p.progress.Close()
	}
	_ = p.reader.Close() // nothing was written
}

// begin goes to a record, or to one before it from which on the log tells what existed: each file begins with a catalogue
// of that. Who asks for records from there on has to leave out those before.
func (p *past) begin(at segment.LSN) {
	if p.cursor != nil {
		p.cursor.Close()
	}
	p.topology, p.lost = history.NewTopology(), 0
	p.cursor = p.reader.Cursor(p.base(at))
}

// base is the first record of the file that a record is in; of one before it, if that file does not begin with a
// catalogue.
func (p *past) base(at segment.LSN) segment.LSN {
	files := p.reader.Files()
	for i, file := range slices.Backward(files) {
		if file.Base > at && i > 0 {
			continue
		}
		first := p.reader.Cursor(file.Base)
		found := first.Next() && first.Record().Kind() == segment.KindCatalogue
		first.Close()
		if found || i == 0 {
			return file.Base
		}
	}
	return at
}

// next moves to the next record. It is false at the end of what there is now and behind until, when somebody has interrupted, and when the
// log cannot be read any more: see end.
func (p *past) next() bool {
	if p.records%between == 0 {
		if p.ctx.Err() != nil {
			return false
		}
		p.tell()
	}
	if !p.cursor.Next() {
		p.tell()
		return false
	}
	r := p.cursor.Record()
	p.records++
	p.read += int64(len(r))
	p.when = p.cursor.Time()
	if p.until.before(p.lsn(), p.when) { // what it says of the topology does not count yet
		return false
	}
	if lost := uint64(p.cursor.Skipped()) + p.cursor.Missed(); lost != p.lost {
		p.lost = lost
		p.topology.Missed()
	}
	if err := p.topology.Apply(r, p.when); err != nil {
		p.fault(err)
	}
	p.queues = p.queues[:0]
	if r.Kind() == segment.KindPublish {
		queues, err := p.cursor.Queues(p.queues)
		if p.queues = queues; err != nil {
			p.fault(err)
		}
	}
	return true
}

// record is the present record, lsn its number.
func (p *past) record() segment.Record { return p.cursor.Record() }
func (p *past) lsn() segment.LSN       { return p.cursor.LSN() }

func (p *past) tell() {
	if p.progress != nil && p.read > 0 {
		p.progress.Add(p.read)
	}
	p.read = 0
}

// fault notes what is wrong with the present record.
func (p *past) fault(err error) {
	if len(p.faults) < mostFaults {
		p.faults = append(p.faults, fmt.Sprintf("record %d: %s", p.lsn(), command.Line(err)))
	}
}

// show shows, on a terminal, how far the reading is: from a record to the end of the log.
func (p *past) show(c *cobra.Command, what string, from segment.LSN) {
	total := int64(0)
	for _, info := range p.reader.Files() {
		if info.Last < from {
			continue
		}
		if info.Old {
			total += info.Bytes
		} else {
			total += info.End
		}
	}
	p.progress = terminal.NewProgress(c.ErrOrStderr(), what, total, terminal.Bytes)
}

// end tells what was wrong with the log, and returns what the command has to: that it was interrupted, too.
func (p *past) end(c *cobra.Command) error {
	if p.progress != nil {
		p.progress.Close()
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	return p.finish(c)
}

// finish is end for a command that an interruption ends well.
func (p *past) finish(c *cobra.Command) error {
	if p.cursor != nil {
		if err := p.cursor.Err(); err != nil {
			return err
		}
	}
	if unknown := p.topology.Unknown(); len(unknown) > 0 {
		tell(c, "a newer millrace has written what this one does not know: %s", strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	faults := p.reader.Faults()
	for _, fault := range faults {
		tell(c, "%s", fault)
	}
	for _, fault := range p.faults {
		tell(c, "%s", fault)
	}
	if len(faults)+len(p.faults) > 0 {
		return command.ErrFaults
	}
	return nil
}
