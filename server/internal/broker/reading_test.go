package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// What a consumer without acknowledgements is handed has left its queue; it must not leave the log before
// the connection has sent it.
func TestDeliveriesNotSentYetKeepTheirRecords(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	c := f.client()
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	body := strings.Repeat("x", 1000)
	for range 300 {
		c.send("q", body)
	}
	c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) == 300 })
	f.broker.FlushJournal()
	f.checkpoint()
	first := c.sink.take()
	if begins := f.broker.FirstInLog(); begins > first[0].LSN {
		t.Fatalf("the log begins with record %d, record %d is still to be sent", begins, first[0].LSN)
	}
	c.described(first) // says that they are sent
	f.checkpoint()
}

// A damaged record that said which queue messages belong to must not make them vanish silently: once
// nothing refers to them, the log gives them up.
func TestMessagesOfAQueueWhoseDeclarationIsDamagedAreNotGivenUp(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("the-queue")
	for range 5 {
		c.sendConfirmed("the-queue", "kept")
	}
	data := f.copyData()
	segments, err := filepath.Glob(filepath.Join(data, "log", "0*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v: %v", segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("the-queue"))
	text[at] ^= 1
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := broker.Open(broker.Config{Data: data}); err == nil {
		b.Close()
		t.Fatal("started without five confirmed messages")
	} else if !strings.Contains(err.Error(), "--repair") || !strings.Contains(err.Error(), "5 messages") {
		t.Errorf("error %q", err)
	}
	b, err := broker.Open(broker.Config{Data: data, Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// The same of an old-generation file, whose numbers have gaps: that one of them held a declaration cannot be told.
func TestMessagesOfAQueueDeclaredInALostBlockAreNotGivenUp(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 2 << 20})
	c := f.client()
	c.sendConfirmed(c.durable("large"), strings.Repeat("x", 300<<10)) // a block of its own
	c.durable("the-queue")
	f.traffic(3000)
	f.pass()
	f.relocated()
	c.sendConfirmed("the-queue", "kept")
	data := f.copyData()
	loseIndex(data)
	files, err := filepath.Glob(filepath.Join(data, "log", "*.old"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v: %v", files, err)
	}
	loseLastBlock(t, files[0])
	if b, err := broker.Open(broker.Config{Data: data}); err == nil {
		b.Close()
		t.Fatal("started without a confirmed message")
	} else if !strings.Contains(err.Error(), "--repair") {
		t.Errorf("error %q", err)
	}
	b, err := broker.Open(broker.Config{Data: data, Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// loseLastBlock clears the last block of an old-generation file, and the tables that tell what was in it
// (docs/format.md).
func loseLastBlock(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tables := binary.LittleEndian.Uint64(data[len(data)-segment.TrailerSize+16:]) + 80
	blocks := binary.LittleEndian.Uint32(data[tables-80+64:])
	if blocks < 2 {
		t.Fatalf("%d blocks", blocks)
	}
	last := binary.LittleEndian.Uint64(data[tables+48*uint64(blocks-1):])
	clear(data[last : tables-80])
	clear(data[tables : len(data)-segment.TrailerSize])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A write that failed stops the log for good: nothing more is confirmed, what can be read is still delivered, and
// the end of the broker says why.
func TestDiskThatFailsStopsTheLogAndNotTheDeliveries(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	f := openWith(t, broker.Config{Disk: wal.Disk{WriteAt: func(file *os.File, p []byte, at int64) (int, error) {
		if broken.Load() {
			return 0, unix.EIO
		}
		return file.WriteAt(p, at)
	}}})
	c, consumer := f.client(), f.client()
	q := c.durable("q")
	consumer.ch.SetLimit(1)
	consumer.consume(q, queue.Consumer{Tag: "c"})
	c.sendConfirmed(q, "a", "b", "c")
	want(t, "delivery", consumer.received(1), "a")
	broken.Store(true)
	c.stage(c.ch, "", q, persistent, "lost")
	if err := c.Flush(); !errors.Is(err, wal.ErrStopped) || !errors.Is(err, unix.EIO) {
		t.Errorf("flush: %v", err)
	}
	want(t, "confirmed", c.sink.confirmed(1), 3)
	consumer.ch.Settle(amqp.BasicAckID, 1, false, queue.Acked)
	_ = consumer.Flush()
	want(t, "delivery", consumer.received(1), "b")
	for _, open := range slices.Clone(f.clients) {
		open.close()
	}
	if err := f.broker.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("close: %v", err)
	}
	f.broker = nil
	broken.Store(false)
	f.start()
	// What was acknowledged comes back, for the log does not know it.
	if left := f.client().drain(q); left != "a+ b+ c" && left != "a+ b+ c+" {
		t.Errorf("after the restart: %s", left)
	}
}

// A disk that gives no file for another segment, for any reason but want of room, has failed like one that writes
// nothing: refused for ever by a broker that goes on would be worse.
func TestDiskThatFailsToGiveASegmentStopsTheLog(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	f := openWith(t, broker.Config{SegmentSize: 64 << 10, Disk: wal.Disk{Allocate: func(file *os.File, size int64, _ func(int64) error) error {
		if broken.Load() {
			return unix.EIO
		}
		return file.Truncate(size)
	}}})
	c := f.client()
	q, stored := c.durable("q"), 0
	broken.Store(true)
	var err error
	for ; err == nil; stored++ {
		c.stage(c.ch, "", q, persistent, numbered(stored))
		err = c.Flush()
	}
	stored--
	if !errors.Is(err, wal.ErrStopped) || !errors.Is(err, unix.EIO) {
		t.Errorf("flush: %v", err)
	}
	select {
	case <-f.broker.Failed():
	case <-time.After(patience):
		t.Fatal("the broker goes on")
	}
	if err := f.broker.Err(); !errors.Is(err, unix.EIO) {
		t.Errorf("failure: %v", err)
	}
	if _, err := c.DeclareQueue(broker.QueueDeclaration{Name: "another"}); !errors.Is(err, wal.ErrStopped) {
		t.Errorf("declaration: %v", err)
	}
	c.close()
	f.mended(&broken)
	want(t, "ready after a restart", f.client().ready(q), stored)
}

// An acknowledgement that comes after the log has stopped must not get into the view by a last checkpoint: the view
// would know what the log does not.
func TestCheckpointOfAStoppedLogKnowsNoMoreThanTheLog(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	f := openWith(t, broker.Config{Disk: wal.Disk{WriteAt: func(file *os.File, p []byte, at int64) (int, error) {
		if broken.Load() {
			return 0, unix.EIO
		}
		return file.WriteAt(p, at)
	}}})
	c := f.client()
	c.sendConfirmed(c.durable("q"), "a", "b")
	c.consume("q", queue.Consumer{Tag: "c"})
	want(t, "delivered", c.received(2), "a b")
	f.broker.FlushJournal()
	f.checkpoint() // all is synced
	broken.Store(true)
	c.ch.Settle(amqp.BasicAckID, 1, false, queue.Acked)
	_ = c.Flush()
	if err := f.broker.Checkpoint(); !errors.Is(err, unix.EIO) {
		t.Errorf("checkpoint: %v", err)
	}
	c.close()
	f.mended(&broken)
	want(t, "after the restart", f.client().drain("q"), "a+ b+")
}

// Relocation reads parts of the index that nothing else does.
func TestIndexFoundDamagedByTheRelocatorIsMadeAnewAtTheNextStart(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	const sent = 20_000
	for n := range sent {
		c.stage(c.ch, "", "q", persistent, "x")
		if n%1000 == 999 {
			c.flush()
		}
	}
	f.checkpoint()
	f.restart()
	f.restart() // what was in Pebble's log is in tables now
	f.damageIndex(f.cfg.Data)
	if err := f.broker.Gather(); !errors.Is(err, index.ErrCorrupt) {
		t.Fatalf("gather: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.cfg.Data, "index.rebuild")); err != nil {
		t.Errorf("the next start is not told: %v", err)
	}
	_ = f.broker.Close()
	f.broker = nil
	f.start()
	if r := f.broker.Recovery(); !r.Rebuilt || r.Messages != sent {
		t.Errorf("recovery %+v", r)
	}
}

// An index of an older format is nothing that was damaged, and its name says so.
func TestIndexOfAnOlderFormatIsSetAsideAsOutdated(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.sendConfirmed(c.durable("q"), "a", "b")
	f.stop()
	f.outdateIndex()
	f.start()
	if r := f.broker.Recovery(); !r.Rebuilt || r.Messages != 2 {
		t.Errorf("recovery %+v", r)
	}
	if aside, err := filepath.Glob(filepath.Join(f.cfg.Data, "index.outdated-*")); err != nil || len(aside) != 1 {
		t.Errorf("the outdated index is not kept: %v, %v", aside, err)
	}
}

// Damage of the index that is found while the broker runs is mended by the next start.
func TestIndexFoundDamagedWhileRunningIsMadeAnewAtTheNextStart(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.sendConfirmed(c.durable("q"), "a", "b")
	f.broker.CondemnIndex(fmt.Errorf("key 71: %w", index.ErrCorrupt))
	f.restart()
	if r := f.broker.Recovery(); !r.Rebuilt || r.Messages != 2 {
		t.Errorf("recovery %+v", r)
	}
	if aside, err := filepath.Glob(filepath.Join(f.cfg.Data, "index.damaged-*")); err != nil || len(aside) != 1 {
		t.Errorf("the damaged index is not kept: %v, %v", aside, err)
	}
	f.restart()
	if f.broker.Recovery().Rebuilt {
		t.Error("made anew twice")
	}
}

// mended starts a broker anew whose disk has failed.
func (f *fixture) mended(broken *atomic.Bool) {
	f.Helper()
	if err := f.broker.Close(); !errors.Is(err, unix.EIO) {
		f.Errorf("close: %v", err)
	}
	f.broker = nil
	broken.Store(false)
	f.start()
}
