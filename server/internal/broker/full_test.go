package broker_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/alarm"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// smallDisk is a disk that can be full.
type smallDisk struct {
	full atomic.Bool
	why  error        // nil = it is full
	made atomic.Int64 // files
}

func (d *smallDisk) disk() wal.Disk {
	return wal.Disk{Allocate: func(file *os.File, size int64, _ func(int64) error) error {
		if d.full.Load() && d.why != nil {
			return d.why
		}
		if d.full.Load() {
			return unix.ENOSPC
		}
		defer d.made.Add(1)
		return file.Truncate(size)
	}}
}

// openFull starts a broker with small segments on a disk that is filled up later: not before there are files enough,
// for of two one is the reserve, and what is made free only fills that up.
func openFull(t *testing.T) (*fixture, *smallDisk) { return openFullFor(t, nil) }

func openFullFor(t *testing.T, why error) (*fixture, *smallDisk) {
	d := &smallDisk{why: why}
	f := openWith(t, broker.Config{SegmentSize: 64 << 10, Disk: d.disk(), Alarms: alarm.Config{Every: 10 * time.Millisecond}})
	f.eventually("spares", func() bool { return d.made.Load() >= 4 })
	return f, d
}

// fill publishes numbered messages until one does not fit, which stays staged, and returns how many did.
func (c *client) fill(queueName string) (stored int) {
	c.f.Helper()
	for {
		c.stage(c.ch, "", queueName, persistent, numbered(stored))
		err := c.Flush()
		if errors.Is(err, wal.ErrFull) {
			return stored
		}
		if err != nil {
			c.f.Fatal(err)
		}
		stored++
	}
}

func numbered(n int) string { return fmt.Sprintf("%d %s", n, strings.Repeat("x", 4000)) }

func (f *fixture) eventually(what string, done func() bool) {
	f.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func TestBatchOutlastsAFullDiskWhileConsumersMakeRoom(t *testing.T) {
	f, disk := openFull(t)
	publisher, consumer := f.client(), f.client()
	publisher.durable("q")
	selectConfirms(t, publisher.ch)
	disk.full.Store(true)
	stored := publisher.fill("q")
	if err := publisher.Flush(); !errors.Is(err, wal.ErrFull) {
		t.Fatalf("once more: %v", err)
	}
	// A consumer that comes now needs a horizon in the log, and its acknowledgements do.
	consumer.consume("q", queue.Consumer{Tag: "c", Limit: 1})
	for n := range stored {
		if got := consumer.received(1); got != numbered(n) {
			t.Fatalf("delivery %d is %.20q", n, got)
		}
		consumer.ack(queue.Tag(n+1), false)
		consumer.view.Release() // a file that is being read is not used again
	}
	f.eventually("room", func() bool {
		f.broker.FlushJournal()
		if err := f.broker.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		return publisher.Flush() == nil
	})
	want(t, "the message that waited", consumer.received(1), numbered(stored))
	publisher.sink.await(t, "confirm", func() bool { return publisher.sink.confirmedLocked(1) == uint64(stored+1) })
}

// Without a descriptor left there is no room for a segment, and as with a full disk it may come.
func TestProcessWithoutDescriptorsWaitsAsOnAFullDisk(t *testing.T) {
	f, disk := openFullFor(t, unix.EMFILE)
	c := f.client()
	c.durable("q")
	disk.full.Store(true)
	stored := c.fill("q")
	want(t, "failure", f.broker.Err(), nil)
	disk.full.Store(false)
	c.flush()
	want(t, "ready", c.ready("q"), stored+1)
}

// What has left its queue while the disk was full is nowhere but with the journal's writer.
func TestSettlementsThatFoundNoRoomAreWrittenAtTheEnd(t *testing.T) {
	f, disk := openFull(t)
	c, other := f.client(), f.client()
	const sent = 400
	for range sent {
		c.send(c.durable("q"), "x")
	}
	c.consume("q", queue.Consumer{Tag: "c"})
	c.received(sent)
	disk.full.Store(true)
	other.fill(other.durable("other"))
	other.Drop()
	other.fillReserve()
	for n := 1; n <= sent; n += 2 { // no two next to each other, so that the record is large
		c.ack(queue.Tag(n), false)
	}
	c.close()
	f.broker.Stop()
	f.broker.FlushJournal() // which gives up
	disk.full.Store(false)
	f.stop()
	loseIndex(f.cfg.Data)
	f.start()
	want(t, "ready", f.client().ready("q"), sent/2)
}

// fillReserve uses up what is kept for settlements and changes of topology too.
func (c *client) fillReserve() {
	c.f.Helper()
	for size, n := 8000, 0; size > 0; n++ {
		args := amqp.Table{"filler": strings.Repeat("x", size)}
		_, err := c.DeclareQueue(broker.QueueDeclaration{Name: fmt.Sprint("filler", n), Arguments: args})
		if errors.Is(err, wal.ErrFull) {
			size /= 10
		} else if err != nil {
			c.f.Fatal(err)
		}
	}
}

func TestGivenUpBatchIsNotStored(t *testing.T) {
	f, disk := openFull(t)
	c := f.client()
	c.durable("q")
	disk.full.Store(true)
	stored := c.fill("q")
	c.Drop()
	disk.full.Store(false)
	c.send("q", "next")
	want(t, "ready", c.ready("q"), stored+1)
}

func TestTransactionOutlastsAFullDisk(t *testing.T) {
	f, disk := openFull(t)
	c := f.client()
	c.durable("q")
	c.send("q", "settled")
	if _, err := c.Take("q", c.ch, false); err != nil {
		t.Fatal(err)
	}
	tx := c.channel(2)
	if err := errors.Join(c.ch.SelectTx(), tx.SelectTx()); err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	filler := f.client()
	filler.durable("other")
	filler.fill("other")
	filler.Drop()

	c.stage(c.ch, "", "q", persistent, numbered(1))
	c.ch.Settle(amqp.BasicAckID, 1, false, queue.Acked)
	c.flush()
	for range 3 {
		if err := c.ch.Commit(); !errors.Is(err, wal.ErrFull) {
			t.Fatalf("commit: %v", err)
		}
	}
	want(t, "ready before the commit", c.ready("q"), 0)
	disk.full.Store(false)
	if err := c.ch.Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, "ready after it", c.ready("q"), 1)
	f.restart()
	want(t, "ready after a restart", f.client().ready("q"), 1)
}

func TestWhatCannotBeDeletedOnAFullDiskIsDeletedLater(t *testing.T) {
	f, disk := openFull(t)
	c, other := f.client(), f.client()
	c.queue(broker.QueueDeclaration{Name: "mine", Exclusive: true})
	other.durable("q")
	const doomed = 200
	for n := range doomed {
		other.queue(broker.QueueDeclaration{Name: fmt.Sprintf("m%03d", n), Exclusive: true})
	}
	disk.full.Store(true)
	other.fill("q")
	other.Drop()
	other.fillReserve()
	for n := range doomed { // and the last octets, with records of the size that matters
		if _, err := other.DeleteQueue(fmt.Sprintf("m%03d", n), false, false); err != nil {
			break
		}
	}
	c.close()
	if _, err := other.DeclareQueue(broker.QueueDeclaration{Name: "mine", Passive: true}); err == nil {
		t.Error("queue is gone although nobody can know it")
	}
	want(t, "alarms", f.broker.Alarms().Active(), alarm.Disk)
	disk.full.Store(false)
	f.eventually("deletion", func() bool {
		_, err := other.DeclareQueue(broker.QueueDeclaration{Name: "mine", Passive: true})
		var protocol *amqp.Error
		return errors.As(err, &protocol) && protocol.Code == amqp.NotFound
	})
	f.eventually("end of the alarm", func() bool { return f.broker.Alarms().Active() == 0 })
}
