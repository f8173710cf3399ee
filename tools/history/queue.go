package history

import (
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Moment is a place of the log and when it was written.
type Moment struct {
	LSN  segment.LSN // 0: never, or not known
	Time time.Time   // when the log took the record in
}

// Queue is a queue that is or was there. One that was deleted and declared again is another, with another ID. It
// belongs to the Topology that gave it; only Deleted changes.
type Queue struct {
	ID    segment.QueueID // the number of the record that declared it
	VHost uint32
	Host  string // the virtual host's name
	Name  string // of an exchange's own queue: that of the exchange

	Durable, Exclusive, AutoDelete, ServerNamed bool
	Arguments                                   amqp.Table
	// Quorum says that it is a quorum queue, which keeps transient messages through a restart.
	Quorum bool
	// Keeps is what an exchange's own queue is for, "delayed" or "history"; empty for all others.
	Keeps string

	// Declared is when, if the log still has that record; else its Time is zero and its LSN is the ID.
	Declared Moment
	// Deleted is when; its LSN is 0 while the queue exists.
	Deleted Moment
}

// Exists reports whether the queue is there.
func (q *Queue) Exists() bool { return q.Deleted.LSN == 0 }

// String returns what people call the queue.
func (q *Queue) String() string {
	if q.Keeps != "" {
		return fmt.Sprintf("%s messages of exchange %s", q.Keeps, q.Name)
	}
	return q.Name
}

// survives reports whether the queue has a transient message after a restart.
func (q *Queue) survives() bool { return q.Quorum || q.Keeps == keepsDelayed }

// keepsDelayed is the purpose of an exchange's own queue that holds messages until they are due.
const keepsDelayed = "delayed"

// Consumer is one that took messages from a queue, a basic.get among them.
type Consumer struct {
	Started    Moment
	Queue      segment.QueueID
	Tag        string // empty for basic.get
	User       string
	Connection string // its name
	Channel    uint16
	NoAck      bool
	Exclusive  bool
	Fields     amqp.Table // all that the record says
}
