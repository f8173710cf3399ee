package queue

import (
	"errors"

	"github.com/millrace-mq/millrace/segment"
)

// A message may be handed out before the log is synced up to its record: at-least-once does not need that. A
// queue whose rules say AfterSync waits for it. To its consumers it is like any other queue in which messages
// arrive when they are synced: the next of them is the first of the highest lane in which one is there.
//
// How far the log is synced is a number that is told from outside. A queue that waits is on a list of the agenda
// until the number has grown, and pays for nothing before it waits.

// ErrNotSynced: what is ready may be handed out only after the log is synced up to it; try again when the agenda
// has been told so (see [Agenda.SyncedTo]).
var ErrNotSynced = errors.New("messages not yet synced")

// syncing is how far the log of an agenda's queues is synced, and which of them wait for more.
type syncing struct {
	synced  segment.LSN // as far as told
	awaited segment.LSN // up to here at least one of the queues waits for
	queues  []*Queue
}

// SyncedTo says how far the log is synced, and schedules the queues that waited for it. It never falls.
func (a *Agenda) SyncedTo(lsn segment.LSN) {
	s := &a.syncing
	if lsn <= s.synced {
		return
	}
	s.synced, s.awaited = lsn, 0
	for _, q := range s.queues {
		q.unsynced = false
		a.schedule(q)
	}
	clear(s.queues)
	s.queues = s.queues[:0]
}

// AwaitsSync returns up to where the log must be synced for the next delivery that waits for that, 0 if none does.
func (a *Agenda) AwaitsSync() segment.LSN { return a.syncing.awaited }

// frontSynced is front for a queue that hands out only what is synced.
func (q *Queue) frontSynced() (*lane, error) {
	waits := false
	for l := range q.lanes.each {
		if l.Ready() == 0 {
			continue
		}
		e, ok := l.Peek()
		if !ok || e.LSN <= q.agenda.syncing.synced {
			if !q.admits(l) {
				return nil, ErrBehindHorizon
			}
			return l, nil
		}
		q.awaitSync(e.LSN)
		waits = true
	}
	if waits {
		return nil, ErrNotSynced
	}
	return nil, nil
}

func (q *Queue) awaitSync(lsn segment.LSN) {
	s := &q.agenda.syncing
	s.awaited = max(s.awaited, lsn)
	if !q.unsynced {
		q.unsynced = true
		s.queues = append(s.queues, q)
	}
}

// holdsBack reports whether a consumer may be able to take more once what front gave as its reason is over.
func (q *Queue) holdsBack(err error) bool {
	// A sync is waited for all the time: who has just been found unable to take anything is not waited for too.
	return err == ErrBehindHorizon || err == ErrNotSynced && !q.stalled
}
