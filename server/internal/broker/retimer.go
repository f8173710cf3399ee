package broker

import (
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// retimer tells queues whose TTL a policy has changed when their messages entered (POL-04). That stands in the
// log, which is read without a lock, a chunk of the index at a time. What it has done is in the next checkpoint,
// and what it has not done is known by the catalogue (see queue.Queue.Untimed): a crash loses none of it.
type retimer struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	// Owned by the goroutine.
	lsns    []segment.LSN
	entered []queue.Entered
	view    *wal.View
}

func newRetimer(b *Broker) *retimer {
	return &retimer{broker: b, kick: make(chan struct{}, 1), done: make(chan struct{})}
}

func (r *retimer) wake() { signal(r.kick) }

func (r *retimer) run(stop <-chan struct{}) {
	defer close(r.done)
	r.view = r.broker.log.NewView()
	defer r.view.Release()
	for {
		select {
		case <-stop:
			return
		case <-r.kick:
		}
		for _, vh := range r.broker.hosts() {
			for r.step(vh) {
				select {
				case <-stop:
					return
				default:
				}
			}
		}
	}
}

// step gives some messages of one queue of the host their deadlines. It returns false when there is nothing
// more to do.
func (r *retimer) step(vh *VHost) bool {
	vh.state.Lock()
	q := vh.state.agenda.TakeUntimed()
	if q == nil {
		vh.unlockState()
		return false
	}
	r.lsns = q.NextUntimed(r.lsns[:0])
	if len(r.lsns) == 0 {
		vh.retimed.Add(1)
		vh.unlockState() // what is over expires
		return true
	}
	vh.state.Unlock()
	r.entered = r.entered[:0]
	for _, lsn := range r.lsns {
		if e, ok := r.read(lsn); ok {
			r.entered = append(r.entered, e)
		}
	}
	r.view.Release()
	vh.state.Lock()
	q.Enter(r.entered)
	vh.unlockState()
	return true
}

// read finds out when a message entered. One that has left its queue meanwhile may be gone; one that cannot be
// read keeps its deadline, and whoever wants to deliver it will tell of the damage.
func (r *retimer) read(lsn segment.LSN) (e queue.Entered, ok bool) {
	err := r.view.Read(lsn, func(record segment.Record) error {
		p, err := record.Publish()
		if err != nil {
			return err
		}
		header, err := amqp.ParseHeader(p.Header)
		e = queue.Entered{LSN: lsn, Time: record.Time(), Expiration: expirationOf(&header)}
		return err
	})
	return e, err == nil
}
