package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// journalWriter puts what left the queues, who took it, and the horizons of deliveries, into the log. It is a
// goroutine of its own because both are decided under the state lock, which stands behind the append
// lock; and being the only one it keeps the horizons in order.
//
// Nobody is promised that an acknowledgement is on disk: its record waits for the next sync that
// something else causes, at the latest the next checkpoint's. Losing it costs a redelivery.
type journalWriter struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	blocked atomic.Bool // by a full disk

	mu struct {
		sync.Mutex
		written chan struct{} // closed after the next write
		failed  error         // why the last write did not work; for good if the log has stopped
	}

	// Owned by the goroutine. What has left a queue's journal is nowhere else, so a batch that the log did not take
	// is kept, of the host it is of, and written before anything else is gathered.
	host   *VHost
	batch  segment.Batch
	queues []*queue.Queue
	ranges []segment.Range
	raises []raise
	starts []*queue.Taker
	names  naming // in the batch
}

type raise struct {
	queue *queue.Queue
	to    segment.LSN
}

const (
	journalPause = 2 * time.Millisecond // between two writes, which gathers settlements: one record for many
	journalRetry = time.Second          // before what the log did not take is tried again
)

func newJournalWriter(b *Broker) *journalWriter {
	w := &journalWriter{broker: b, kick: make(chan struct{}, 1), done: make(chan struct{})}
	w.mu.written = make(chan struct{})
	w.names.broker = b
	return w
}

// nextWrite returns a channel that is closed when the journal has been written the next time.
func (w *journalWriter) nextWrite() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.written
}

func (w *journalWriter) wake() { signal(w.kick) }

// await returns when everything that was noted before has been written, or with false after the patience.
func (w *journalWriter) await(patience time.Duration) bool {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for range 2 { // a write that is under way may have begun before
		written := w.nextWrite()
		w.wake()
		select {
		case <-written:
		case <-w.done:
			return false
		case <-timeout.C:
			return false
		}
	}
	return true
}

// err is why the last write did not work, nil if it did.
func (w *journalWriter) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.failed
}

// run writes the journal whenever it is woken, until the broker's stop channel is closed.
func (w *journalWriter) run(stop <-chan struct{}) {
	defer close(w.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-stop:
			return
		case <-w.kick:
		}
		if w.writeAll() {
			pause.Reset(journalPause)
		} else {
			pause.Reset(journalRetry)
			w.wake()
		}
		select {
		case <-stop:
			return
		case <-pause.C:
		}
	}
}

// writeAll brings the journals of all virtual hosts to the log, and reports whether nothing is left to be tried again.
func (w *journalWriter) writeAll() bool {
	err := w.write()
	for _, vh := range w.broker.hosts() {
		if w.batch.Count() > 0 {
			break
		}
		w.gather(vh)
		err = errors.Join(err, w.write())
	}
	w.mu.Lock()
	if !final(w.mu.failed) {
		w.mu.failed = err
	}
	close(w.mu.written)
	w.mu.written = make(chan struct{})
	w.mu.Unlock()
	return w.batch.Count() == 0
}

// final reports whether the log will take nothing more.
func final(err error) bool { return errors.Is(err, wal.ErrStopped) || errors.Is(err, wal.ErrClosed) }

// gather makes a batch of what has left the queues of a virtual host.
func (w *journalWriter) gather(vh *VHost) {
	w.host = vh
	now := time.Now().UnixMilli()
	vh.state.Lock()
	w.starts = vh.state.agenda.TakeStarts(w.starts[:0], startsAtOnce)
	for _, t := range w.starts {
		w.names.name(&w.batch, vh, t, now)
	}
	w.queues = vh.state.agenda.TakeJournal(w.queues[:0])
	for _, q := range w.queues {
		w.ranges = q.TakeJournal(w.ranges, func(by *queue.Taker, reason segment.SettleReason, ranges []segment.Range) {
			w.batch.AppendSettled(segment.SettleHead{
				Time: now, VHost: vh.ID, Queue: q.ID, Reason: reason, Consumer: w.names.name(&w.batch, vh, by, now),
			}, ranges)
		})
		if to, ok := q.NextHorizon(); ok {
			w.batch.AppendHorizon(now, vh.ID, q.ID, to)
			w.raises = append(w.raises, raise{q, to})
		}
	}
	vh.state.Unlock()
	clear(w.queues)
	clear(w.starts)
}

// write brings the batch to the log, and keeps it if the log may take it later.
func (w *journalWriter) write() error {
	if w.batch.Count() == 0 {
		return nil
	}
	first, err := w.append()
	if err != nil && !final(err) {
		w.broker.logger.Warn("settlements are not in the log yet", "error", err)
		return err
	}
	last := first + segment.LSN(w.batch.Count()-1)
	w.batch.Reset()
	if err == nil && len(w.raises) > 0 && w.broker.cfg.Sync == wal.SyncDisk {
		// What is handed out may survive a power cut that its horizon would not. Rises are rare.
		err = w.broker.log.SyncTo(context.Background(), last)
	}
	if err != nil {
		// The log has stopped for good: the settlements are lost to it, which costs redeliveries at the next
		// start, and what waits behind a horizon stays.
		w.raises = w.raises[:0]
		w.names.reset()
		return err
	}
	if len(w.raises) == 0 && len(w.names.placed) == 0 {
		return nil
	}
	vh := w.host
	vh.state.Lock()
	w.names.appended(first)
	for _, r := range w.raises {
		r.queue.RaiseHorizon(r.to)
	}
	clear(w.raises)
	w.raises = w.raises[:0]
	vh.unlockState()
	return nil
}

// append brings the batch to the log and returns the number of its first record.
func (w *journalWriter) append() (first segment.LSN, err error) {
	w.batch.Vital = true // settlements make room
	w.blocked.Store(true)
	defer w.blocked.Store(false)
	err = w.broker.appendPatiently(&w.batch, w.broker.stop, func(lsn segment.LSN) {
		first = lsn
		for _, r := range w.raises {
			r.queue.HorizonLogged(r.to)
			w.broker.restated.horizon(w.host.ID, r.queue.ID, r.to)
		}
	})
	return first, err
}
