package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// The order of recovery:
//
//  1. the index is opened; what cannot be read is set aside, the log has it all;
//  2. the log is opened, which finds its end;
//  3. the topology as of the checkpoint is read, the queues find their entries in the index;
//  4. the log is replayed from behind the checkpoint;
//  5. what does not survive a restart is dropped, what was in flight is ready again;
//  6. the log starts a new segment, with a catalogue of the topology, and takes appends;
//  7. that the broker has started is appended, and the drops of step 5 that later records must know about.

func (b *Broker) openIndex() error {
	cfg := index.Config{Dir: filepath.Join(b.cfg.Data, "index"), Logger: b.logger, FS: b.cfg.IndexFS}
	if err := b.takeAside(cfg.Dir); err != nil {
		return err
	}
	if err := b.takeCondemned(cfg.Dir); err != nil {
		return err
	}
	store, err := index.Open(cfg)
	if errors.Is(err, index.ErrCorrupt) {
		b.logger.Warn("the index cannot be used and is made anew from the log", "why", err)
		if err := setAside(cfg.Dir, err); err != nil {
			return err
		}
		b.recovery.Rebuilt = true
		store, err = index.Open(cfg)
	}
	b.index = store
	return err
}

// condemned is the file that says that the index beside it is damaged, and how that was found.
func condemned(dir string) string { return dir + ".rebuild" }

// condemnIndex has the next start make the index anew, if err says that it is damaged. Damage that is found
// while the broker runs stops the queues that it concerns; the log has everything.
func (b *Broker) condemnIndex(err error) {
	if !errors.Is(err, index.ErrCorrupt) || b.condemned.Swap(true) {
		return
	}
	b.logger.Error("the index is damaged; the next start sets it aside and makes it anew from the log", "why", err)
	path := condemned(filepath.Join(b.cfg.Data, "index"))
	if err := os.WriteFile(path, []byte(err.Error()+"\n"), 0o640); err != nil {
		b.logger.Error("not noted for the next start: remove the index folder before it", "error", err)
	}
}

// takeCondemned sets an index aside that was found to be damaged while the last broker ran.
func (b *Broker) takeCondemned(dir string) error {
	why, err := os.ReadFile(condemned(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b.logger.Warn("the index was found to be damaged and is made anew from the log", "why", strings.TrimSpace(string(why)))
	if err := setAside(dir, index.ErrCorrupt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.recovery.Rebuilt = true
	return os.Remove(condemned(dir))
}

// setAside renames a folder out of the way: nothing is deleted that we do not understand.
func setAside(dir string, why error) error {
	what := "damaged"
	if errors.Is(why, index.ErrOutdated) {
		what = "outdated"
	}
	if err := os.Rename(dir, asideName(dir, what)); err != nil {
		return fmt.Errorf("set the %s index aside: %w", what, err)
	}
	return nil
}

// asideName is what a folder is called from now on that is set aside.
func asideName(dir, what string) string {
	return fmt.Sprintf("%s.%s-%s", dir, what, time.Now().UTC().Format("20060102T150405.000"))
}

// resetIndex sets the index aside and begins an empty one.
func (b *Broker) resetIndex(why error) error {
	b.logger.Warn("the index cannot be used and is made anew from the log", "why", why)
	if err := b.index.Close(); err != nil {
		b.logger.Warn("index not closed cleanly", "error", err)
	}
	b.index = nil
	if err := setAside(filepath.Join(b.cfg.Data, "index"), why); err != nil {
		return err
	}
	b.recovery.Rebuilt = true
	return b.openIndex()
}

func (b *Broker) recover() error {
	b.replaying = true
	defer func() { b.replaying = false }()
	if err := b.fits(); err != nil {
		return err
	}
	err := b.recoverFrom(b.index.Mark() + 1)
	if b.index.Mark() == 0 || !errors.Is(err, index.ErrCorrupt) {
		b.recovery.Rebuilt = b.recovery.Rebuilt || b.index.Mark() == 0 && b.log.Last() > 0
		return err
	}
	// The log has it all.
	b.vhosts.Store(new([]*VHost))
	b.access.Publish(&access.State{})
	if err := b.resetIndex(err); err != nil {
		return err
	}
	return b.recoverFrom(1)
}

// fits checks that the view belongs to this log. A view is stored only when the log is synced beyond it,
// so one that knows more than the log is proof that records are missing: going on would make that loss
// final without anybody having noticed.
func (b *Broker) fits() error {
	mark, first, last := b.index.Mark(), b.log.First(), b.log.Last()
	if mark > last || mark > 0 && first > mark+1 {
		holds := fmt.Sprintf("holds records %d to %d", first, last)
		if last < first {
			holds = "holds no record"
		}
		return fmt.Errorf("%s %s, but its index was made from records up to %d: files of the log are missing "+
			"or damaged%s (see 'millrace log verify'); put them back, or remove %s to go on with what the log holds",
			filepath.Join(b.cfg.Data, "log"), holds, mark, unreadable(b.recovery.Log.Unreadable), filepath.Join(b.cfg.Data, "index"))
	}
	return nil
}

func unreadable(files []string) string {
	if len(files) == 0 {
		return ""
	}
	return ", " + strings.Join(files, " and ") + " cannot be read"
}

func (b *Broker) recoverFrom(from segment.LSN) error {
	b.recovery.Replayed, b.replayed = 0, nil
	if err := b.loadTopology(); err != nil {
		return err
	}
	if err := b.replay(from); err != nil {
		return err
	}
	if err := b.access.Apply(b.replayed...); err != nil {
		return err
	}
	b.replayed = nil
	for _, vh := range b.hosts() {
		for _, q := range vh.state.byID {
			if err := q.Recovered(); err != nil {
				return fmt.Errorf("queue %q: %w", q.Name, err)
			}
		}
	}
	return nil
}

// loadTopology reads the topology as of the checkpoint.
func (b *Broker) loadTopology() error {
	return b.index.Objects(func(key index.ObjectKey, value []byte) error {
		b.checkpoints.chunks = max(b.checkpoints.chunks, key.ID+1)
		return eachInCatalogue(value, func(entry []byte) error { return b.applyEntry(entry, 0) })
	})
}

func (b *Broker) applyEntry(payload []byte, lsn segment.LSN) error {
	t, op, err := decodeRecord(payload)
	if err != nil {
		return err
	}
	if access.Owns(op) {
		return b.replayAccess(t)
	}
	c, err := decodeChange(t)
	if err != nil {
		return err
	}
	vh := b.host(c.vhost)
	if vh == nil {
		return fmt.Errorf("%s in virtual host %d, which does not exist", c.op, c.vhost)
	}
	return vh.apply(&c, lsn)
}

// replay applies the log's records from one on. Applying is idempotent: the view may be ahead of the
// mark that its checkpoint has.
func (b *Broker) replay(from segment.LSN) error {
	cursor := b.log.Cursor(from)
	defer cursor.Close()
	// A log whose beginning has been recycled begins with a catalogue. Later ones repeat what is known,
	// except for the horizons that a recovery took over from its index: no record of their own says those.
	first := len(b.hosts()) == 0
	headless := first && b.headless()
	b.homeless, b.deleted = 0, make(map[segment.QueueID]struct{})
	unresolved, passed := 0, 0
	var queues []segment.QueueID
	var stated []statedHorizon
	one := func(r segment.Record) (err error) {
		if headless {
			if headless = r.Kind() != segment.KindCatalogue; headless {
				passed++
				return b.refuseHeadless()
			}
		}
		if r.Kind() != segment.KindCatalogue {
			stated = takeOver(stated)
		}
		switch r.Kind() {
		case segment.KindCatalogue:
			if first {
				return eachInCatalogue(r.Payload(), func(entry []byte) error { return b.applyEntry(entry, r.LSN()) })
			}
			stated, err = b.restatedHorizons(stated, r)
			return err
		case segment.KindTopology:
			err = b.applyEntry(r.Payload(), r.LSN())
			if unneeded(err) {
				err = nil
			}
		case segment.KindPublish:
			if queues, err = cursor.Queues(queues[:0]); err == nil {
				err = b.replayPublish(r, queues)
			} else if errors.Is(err, segment.ErrCorrupt) {
				b.logger.Error("message whose queues cannot be told", "record", r.LSN(), "error", err)
				unresolved++
				err = nil
			}
		case segment.KindSettle:
			err = b.replaySettle(r)
		case segment.KindHorizon:
			err = b.replayHorizon(r)
		}
		first = false // more of the catalogue would have followed
		return err
	}
	for cursor.Next() {
		b.recovery.Replayed++
		lsn := cursor.LSN()
		if err := cursor.Use(one); err != nil {
			return fmt.Errorf("replay of record %d: %w", lsn, err)
		}
	}
	if err := cursor.Err(); err != nil {
		return err
	}
	if passed > 0 {
		b.logger.Warn("records passed over for which there is no catalogue", "records", passed)
	}
	return b.refuseHomeless(cursor.Skipped(), unresolved)
}

// headless reports whether the log's first file does not begin with a catalogue, as far as its header tells: then what
// was before it has been taken away, for the log itself keeps it.
func (b *Broker) headless() bool {
	files := b.log.Segments()
	return len(files) > 0 && files[0].Continues
}

// refuseHeadless stops a start that finds neither an index nor a catalogue to begin with; with Config.Repair what
// comes before the next catalogue is passed over.
func (b *Broker) refuseHeadless() error {
	if b.cfg.Repair {
		return nil
	}
	return fmt.Errorf("%s does not tell which queues there were, and neither the file of the log that does nor an index is there; "+
		"put one of them back, or start once with --repair to begin where a later file tells it", b.log.Segments()[0].Path)
}

// refuseHomeless stops a start that would lose messages because the record is damaged that says which
// queue they belong to: once nothing refers to them, the log gives them up.
func (b *Broker) refuseHomeless(damaged, unresolved int) error {
	if damaged == 0 && unresolved == 0 || b.homeless+unresolved == 0 {
		return nil // a publish may follow the deletion of its queue, without anything being damaged
	}
	if b.cfg.Repair {
		b.logger.Warn("messages given up whose queues cannot be told", "messages", b.homeless+unresolved)
		return nil
	}
	return fmt.Errorf("%d messages belong to queues that damaged records of the log told of: see 'millrace log verify'; "+
		"put the files back from a copy, or start once with --repair to go on without these messages", b.homeless+unresolved)
}

// statedHorizon is what a catalogue says of a queue. It counts once something else follows: what has moved since the
// catalogue was made stands right behind it, and a crash may have come between the two.
type statedHorizon struct {
	queue *queue.Queue
	at    segment.LSN
}

// takeOver makes stated horizons count, and empties the list.
func takeOver(stated []statedHorizon) []statedHorizon {
	for _, h := range stated {
		h.queue.ReplayHorizon(h.at)
	}
	return stated[:0]
}

// restatedHorizons appends the horizons of a catalogue record that is not at the log's beginning.
func (b *Broker) restatedHorizons(dst []statedHorizon, r segment.Record) ([]statedHorizon, error) {
	err := eachInCatalogue(r.Payload(), func(entry []byte) error {
		t, op, err := decodeRecord(entry)
		if err != nil || operation(op) != declareQueue {
			return err
		}
		c, err := decodeChange(t)
		if err != nil || c.horizon == 0 {
			return err
		}
		if vh := b.host(c.vhost); vh != nil && vh.state.byID[c.queue.ID] != nil {
			dst = append(dst, statedHorizon{vh.state.byID[c.queue.ID], c.horizon})
		}
		return nil
	})
	return dst, err
}

// unneeded reports whether a change could not be applied because the view is already past it: the
// exchange or queue that it is about was deleted later.
func unneeded(err error) bool {
	var noExchange router.NoExchange
	var noQueue router.NoQueue
	var mismatch router.Mismatch
	return errors.As(err, &noExchange) || errors.As(err, &noQueue) || errors.As(err, &mismatch)
}

func (b *Broker) replayPublish(r segment.Record, queues []segment.QueueID) error {
	p, err := r.Publish()
	if err != nil {
		return err
	}
	vh := b.host(r.VHost())
	if vh == nil {
		b.countHomeless(queues)
		return nil
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		return err
	}
	m := queue.Message{
		LSN: r.LSN(), Size: uint32(len(p.Body)),
		Transient: r.Flags()&segment.FlagTransient != 0 || header.DeliveryMode != amqp.Persistent,
		Priority:  header.Priority, Prioritized: header.Has(amqp.PropertyPriority),
		Time: r.Time(), Expiration: expirationOf(&header),
	}
	for _, id := range queues {
		if q := vh.state.byID[id]; q != nil {
			if q.Rules().Keeps == queue.ForLater {
				m.Delay = delayOf(&header)
			}
			q.Push(m)
		} else if _, deleted := b.deleted[id]; !deleted {
			b.homeless++
		}
	}
	return nil
}

// countHomeless counts a message of queues that are not there, unless they were deleted.
func (b *Broker) countHomeless(queues []segment.QueueID) {
	for _, id := range queues {
		if _, deleted := b.deleted[id]; !deleted {
			b.homeless++
		}
	}
}

func (b *Broker) replaySettle(r segment.Record) error {
	s, err := r.Settle()
	if err != nil {
		return err
	}
	vh := b.host(r.VHost())
	if vh == nil || vh.state.byID[s.Queue] == nil {
		return nil
	}
	if s.Reason == segment.SettleReturn {
		return nil // how often is not counted again: the view may hold it already
	}
	q := vh.state.byID[s.Queue]
	for span := range s.Ranges() {
		q.Settled(span.From, span.To)
	}
	return nil
}

func (b *Broker) replayHorizon(r segment.Record) error {
	h, err := r.Horizon()
	if err != nil {
		return err
	}
	if vh := b.host(r.VHost()); vh != nil && vh.state.byID[h.Queue] != nil {
		vh.state.byID[h.Queue].ReplayHorizon(h.LSN)
	}
	return nil
}

// newQueue makes a queue that is being declared over what the index has of it: of all its levels, where its
// messages have priorities.
func (b *Broker) newQueue(d queue.Declaration, agenda *queue.Agenda) (*queue.Queue, error) {
	var levels map[byte]*index.Queue
	if b.replaying {
		var err error
		if levels, err = b.index.LoadLevels(d.ID); err != nil && !errors.Is(err, index.ErrNoQueue) {
			return nil, err
		}
	}
	base := levels[0]
	if base == nil {
		base = b.index.NewQueue(d.ID)
	}
	q := queue.New(d, base, agenda)
	for level, entries := range levels {
		if level != 0 {
			q.AddLevel(entries)
		}
	}
	return q, nil
}

// begin makes a recovered broker ready to serve, now that the log takes appends.
func (b *Broker) begin() error {
	if err := b.logStart(time.Now().UnixMilli()); err != nil {
		return err
	}
	if err := b.firstStart(); err != nil {
		return err
	}
	for _, vh := range b.hosts() {
		if err := vh.dropTransient(); err != nil {
			return err
		}
		vh.topology.Lock()
		_, err := vh.commitMany(vh.missingKeepersLocked())
		vh.topology.Unlock()
		if err != nil {
			return err
		}
		vh.count()
		vh.rouse(time.Now().UnixMilli())
		b.recovery.VHosts++
		for range vh.topology.router.Exchanges() {
			b.recovery.Exchanges++
		}
		b.recovery.Queues += len(vh.state.byID) - len(vh.topology.keepers)
		for _, q := range vh.state.byID {
			b.recovery.Messages += q.Ready()
		}
	}
	return nil
}

// rouse sets the clocks of the queues after a recovery: what expired meanwhile goes, and nobody was
// unused while the broker was down (TTL-06). Their rules are those of the policies at the end of the log,
// for each of them was applied in its turn.
func (vh *VHost) rouse(now int64) {
	vh.state.Lock()
	defer vh.unlockStateAt(now)
	for _, q := range vh.state.byID {
		q.SetRules(q.Rules(), now)
	}
}

// dropTransient deletes what does not survive a restart (EXCH-13, DUR-01). That is said in the log:
// names may be used again by what comes after.
func (vh *VHost) dropTransient() error {
	vh.topology.Lock()
	defer vh.topology.Unlock()
	var gone []change
	for _, q := range vh.topology.router.Queues() {
		if !q.Durable {
			gone = append(gone, change{op: deleteQueue, queue: q.Declaration})
		}
	}
	for x := range vh.topology.router.Exchanges() {
		if !x.Durable {
			gone = append(gone, change{op: deleteExchange, exchange: x})
		}
	}
	for i := range gone {
		c := &gone[i]
		if _, ok := vh.topology.router.Exchange(c.exchange.Name); c.op == deleteExchange && !ok {
			continue // an auto-delete exchange went with its last binding
		}
		if _, err := vh.commit(c); err != nil {
			return err
		}
	}
	return nil
}
