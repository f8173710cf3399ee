package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/history"
)

// indexState says what became of the look at an index.
type indexState string

const (
	indexInUse   indexState = "not looked at, for a broker runs"
	indexMissing indexState = "there is none; a start makes it from the log"
	indexLooked  indexState = "looked at"
)

// indexReport is what is wrong with an index, held against the log.
type indexReport struct {
	State    indexState
	Mark     segment.LSN // up to which record it is complete
	Queues   int
	Messages uint64
	Faults   []indexFault
}

// indexFault is something that the index says otherwise than the log.
type indexFault struct {
	Path   string          // the folder of the index
	Queue  segment.QueueID // 0: it concerns no single one
	Name   string          // of the queue, if the log tells it
	Reason string
}

func (f indexFault) String() string {
	switch {
	case f.Queue == 0:
		return fmt.Sprintf("%s: %s", f.Path, f.Reason)
	case f.Name == "":
		return fmt.Sprintf("%s: queue %d: %s", f.Path, f.Queue, f.Reason)
	}
	return fmt.Sprintf("%s: queue %s (%d): %s", f.Path, f.Name, f.Queue, f.Reason)
}

// checkIndex holds a folder's index against its log: do both give the same queues the same messages? It changes
// nothing, and looks at nothing while a broker runs.
func checkIndex(c *cobra.Command, data string) (report indexReport, err error) {
	release, err := shareFolder(data)
	if errors.Is(err, errInUse) {
		return indexReport{State: indexInUse}, nil
	}
	if err != nil {
		return report, err
	}
	defer release()
	dir := filepath.Join(data, "index")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return indexReport{State: indexMissing}, nil
	}
	report.State = indexLooked
	fault := func(reason string) { report.Faults = append(report.Faults, indexFault{Path: dir, Reason: reason}) }
	if why, err := os.ReadFile(dir + ".rebuild"); err == nil {
		fault("was found to be damaged while a broker ran: " + string(why))
		return report, nil
	}
	store, err := index.Open(index.Config{Dir: dir, ReadOnly: true})
	if errors.Is(err, index.ErrCorrupt) {
		fault(err.Error())
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer store.Close()
	for _, err := range store.Check() {
		fault(err.Error())
	}
	if len(report.Faults) > 0 {
		return report, nil
	}
	report.Mark = store.Mark()
	view, err := loadView(store)
	if err != nil {
		fault(err.Error())
		return report, nil
	}
	return report, report.compare(c, data, dir, view)
}

// view is what an index says that queues hold.
type view struct {
	mark   segment.LSN
	queues map[segment.QueueID]*viewed
}

type viewed struct {
	last   segment.LSN // pushed
	lsns   *roaring64.Bitmap
	stored bool // the index has it; else it is what the log has of a queue since
}

func loadView(store *index.Store) (*view, error) {
	v := &view{mark: store.Mark(), queues: map[segment.QueueID]*viewed{}}
	var some []segment.LSN
	for id, err := range store.QueueIDs() {
		if err != nil {
			return nil, err
		}
		levels, err := store.LoadLevels(id)
		if err != nil {
			return nil, err
		}
		q := &viewed{lsns: roaring64.New(), stored: true}
		v.queues[id] = q
		for _, level := range levels {
			q.last = max(q.last, level.Last())
			for from := segment.LSN(0); ; from = some[len(some)-1] + 1 {
				if some, err = level.LiveIn(some[:0], from, ^segment.LSN(0)); err != nil {
					return nil, err
				}
				if len(some) == 0 {
					break
				}
				for _, lsn := range some {
					q.lsns.Add(uint64(lsn))
				}
			}
		}
	}
	return v, nil
}

// apply brings the view up to date, as a start of the broker does.
func (v *view) apply(r segment.Record, queues []segment.QueueID, t *history.Topology) {
	if r.LSN() <= v.mark {
		return
	}
	switch r.Kind() {
	case segment.KindPublish:
		for _, id := range queues {
			q := v.queues[id]
			if q == nil {
				q = &viewed{lsns: roaring64.New()}
				v.queues[id] = q
			}
			if r.LSN() > q.last {
				q.lsns.Add(uint64(r.LSN()))
				q.last = r.LSN()
			}
		}
	case segment.KindSettle:
		s, err := r.Settle()
		if err != nil || s.Reason == segment.SettleReturn || v.queues[s.Queue] == nil {
			return
		}
		for at := range s.Ranges() {
			v.queues[s.Queue].lsns.RemoveRange(uint64(at.From), uint64(at.To)+1)
		}
	default:
		for _, q := range t.Deleted() {
			delete(v.queues, q.ID)
		}
	}
}

// restart drops what a start drops, which the index does not say before the next checkpoint.
func (v *view) restart(at segment.LSN, fleeting iter.Seq2[segment.QueueID, segment.LSN]) {
	if at <= v.mark {
		return
	}
	for id, lsn := range fleeting {
		if q := v.queues[id]; q != nil {
			q.lsns.Remove(uint64(lsn))
		}
	}
}

// compare reads the log, and tells in what the view differs from it.
func (report *indexReport) compare(c *cobra.Command, data, dir string, v *view) error {
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	first := p.reader.First()
	if last := p.reader.Last(); v.mark > last || v.mark > 0 && first > v.mark+1 {
		report.Faults = append(report.Faults, indexFault{Path: dir, Reason: fmt.Sprintf(
			"it was made from records up to %d, but the log holds records %d to %d: files of the log are missing or damaged", v.mark, first, last)})
		return nil
	}
	p.begin(first)
	p.show(c, "index", first)
	contents := history.NewContents()
	for p.next() {
		if p.topology.Started().LSN == p.lsn() {
			v.restart(p.lsn(), contents.Fleeting(p.topology))
		}
		if err := contents.Apply(p.record(), p.queues, p.topology); err != nil {
			continue // told by what reads the log
		}
		v.apply(p.record(), p.queues, p.topology)
	}
	if err := errors.Join(c.Context().Err(), p.cursor.Err()); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(v.queues)) {
		q, seen := p.topology.Queue(id), v.queues[id]
		if n := seen.lsns.GetCardinality(); (q == nil || !q.Exists()) && seen.stored && n > 0 {
			report.Faults = append(report.Faults, indexFault{
				Path: dir, Queue: id, Reason: fmt.Sprintf("it has %d messages, but the log does not tell of it", n),
			})
		}
	}
	for q := range p.topology.Queues() {
		if !q.Exists() {
			continue
		}
		seen := v.queues[q.ID]
		if seen == nil {
			seen = &viewed{lsns: roaring64.New()}
		}
		report.Queues++
		report.Messages += seen.lsns.GetCardinality()
		for _, reason := range differences(q, contents.Queue(q.ID), seen.lsns) {
			report.Faults = append(report.Faults, indexFault{Path: dir, Queue: q.ID, Name: q.String(), Reason: reason})
		}
	}
	return nil
}

// differences tells in what the index differs from the log about a queue. Of what does not survive a start the log need
// not tell how it left.
func differences(q *history.Queue, held *history.Held, seen *roaring64.Bitmap) (reasons []string) {
	said := roaring64.New()
	kept := roaring64.New()
	for lsn := range held.LSNs() {
		said.Add(uint64(lsn))
		if q.Durable && (q.Quorum || !held.IsTransient(lsn)) {
			kept.Add(uint64(lsn))
		}
	}
	if missing := roaring64.AndNot(kept, seen); !missing.IsEmpty() {
		reasons = append(reasons, fmt.Sprintf("%d messages of the log are not in the index: %s", missing.GetCardinality(), recordsOf(missing)))
	}
	if extra := roaring64.AndNot(seen, said); !extra.IsEmpty() {
		reasons = append(reasons, fmt.Sprintf("%d messages of the index are not in the log: %s", extra.GetCardinality(), recordsOf(extra)))
	}
	return reasons
}

// recordsOf names records by their first and last.
func recordsOf(b *roaring64.Bitmap) string {
	if b.GetCardinality() == 1 {
		return fmt.Sprintf("record %d", b.Minimum())
	}
	return fmt.Sprintf("records from %d to %d", b.Minimum(), b.Maximum())
}
