package broker

import (
	"context"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/wal"
)

// Synced is the log's watermark.
func (b *Broker) Synced() segment.LSN { return b.log.Synced() }

// Checkpoint writes one now. Only for a broker whose configuration never asks for one.
func (b *Broker) Checkpoint() error { return b.checkpoints.write() }

// FlushJournal returns when all that has left the queues so far is in the log.
func (b *Broker) FlushJournal() { b.journal.await(time.Minute) }

// StopLog makes the log refuse everything, as a failed disk does.
func (b *Broker) StopLog() error { return b.log.Close() }

// FirstInLog is the oldest record that the log still has.
func (b *Broker) FirstInLog() segment.LSN { return b.log.First() }

// LastInLog is the newest record.
func (b *Broker) LastInLog() segment.LSN { return b.log.Last() }

// Owned is how many exclusive queues the client remembers.
func (c *Client) Owned() int { return len(c.exclusive) }

// Bury makes the undertaker look for deaths.
func (b *Broker) Bury() { b.undertaker.wake() }

// Limits of what an outlet holds.
const (
	MaxOutletBytes    = maxOutletBytes
	MaxOutletMessages = maxOutletMessages
)

// Held is how many messages the exchanges of a virtual host keep.
func (b *Broker) Held(vhost string) (n int) {
	for _, vh := range b.hosts() {
		if vh.Name != vhost {
			continue
		}
		vh.topology.RLock()
		defer vh.topology.RUnlock()
		vh.state.Lock()
		defer vh.state.Unlock()
		for _, q := range vh.topology.keepers {
			n += q.Ready()
		}
	}
	return n
}

// CondemnIndex says that the index was found to be damaged.
func (b *Broker) CondemnIndex(err error) { b.condemnIndex(err) }

// Sealed reports whether all of the log's files but the newest are sealed.
func (b *Broker) Sealed() bool {
	files := b.log.Segments()
	return !slices.ContainsFunc(files[:len(files)-1], func(s wal.SegmentInfo) bool { return !s.Sealed })
}

// Gather finds out what of the whole log is needed.
func (b *Broker) Gather() error {
	_, err := b.gather(b.log.First(), b.log.Last())
	return err
}

// Relocate makes one pass of the relocator.
func (b *Broker) Relocate() error { return b.relocator.relocate(context.Background()) }

// EachRecord reads the whole log.
func (b *Broker) EachRecord(yield func(r segment.Record, queues []segment.QueueID)) error {
	cursor := b.log.Cursor(1)
	defer cursor.Close()
	var queues []segment.QueueID
	for cursor.Next() {
		if queues = queues[:0]; cursor.Record().Kind() == segment.KindPublish {
			var err error
			if queues, err = cursor.Queues(queues); err != nil {
				return err
			}
		}
		yield(cursor.Record(), queues)
	}
	return cursor.Err()
}

// Contents are the records in each durable queue, ready or with somebody, those of exchanges among them.
func (b *Broker) Contents() (map[segment.QueueID][]segment.LSN, error) {
	contents := make(map[segment.QueueID][]segment.LSN)
	for _, vh := range b.hosts() {
		for q := range vh.queuesInTurn {
			if !q.Durable {
				continue
			}
			held := []segment.LSN{}
			for level := range q.Levels() {
				for from := segment.LSN(1); ; {
					n := len(held)
					var err error
					if held, err = level.LiveIn(held, from, ^segment.LSN(0)); err != nil {
						return nil, err
					}
					if len(held) == n {
						break
					}
					from = held[len(held)-1] + 1
				}
			}
			slices.Sort(held)
			contents[q.ID] = held
		}
	}
	return contents, nil
}

// Restate returns what the next segment would begin with, made anew or kept.
func (b *Broker) Restate(anew bool) []*segment.Batch {
	if anew {
		b.restated = restatement{}
	}
	return b.restate()
}

// Topology states all that there is but horizons, an entry of a catalogue each, sorted.
func (b *Broker) Topology() (entries []string) {
	b.catalogue(func(payload []byte) {
		err := eachInCatalogue(payload, func(entry []byte) error {
			t, _, err := decodeRecord(entry)
			delete(t, "horizon")
			delete(t, "untimed")
			entries = append(entries, string(t.Raw()))
			return err
		})
		if err != nil {
			panic(err)
		}
	})
	slices.Sort(entries)
	return entries
}

// Continuing is how many files of the log do not begin with a catalogue.
func (b *Broker) Continuing() (n int) {
	for _, s := range b.log.Segments() {
		if s.Continues {
			n++
		}
	}
	return n
}
