package broker

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/alarm"
	"github.com/millrace-mq/millrace/wal"
)

// What happens when memory or disk is low (FLOW-02): package alarm finds out, connections that publish are
// blocked by their sessions, and what the broker itself has to write waits for room.

func newAlarms(cfg Config) *alarm.Watch {
	c := cfg.Alarms
	c.Folder, c.Logger = filepath.Join(cfg.Data, "log"), cfg.Logger
	return alarm.New(c)
}

// Alarms says whether memory or disk is low.
func (b *Broker) Alarms() *alarm.Watch { return b.alarms }

func (b *Broker) watchAlarms() {
	defer close(b.watching)
	b.alarms.Run(b.stop, b.workOff)
}

// appendPatiently appends a batch of the broker's own. A full disk is waited for: what is going on may
// stand still, but must not go on without the log knowing.
func (b *Broker) appendPatiently(batch *segment.Batch, stop <-chan struct{}, applied func(segment.LSN)) error {
	const retry = 100 * time.Millisecond
	err := b.log.Append(batch, applied)
	if !errors.Is(err, wal.ErrFull) {
		return err
	}
	defer b.alarms.Full()()
	for {
		select {
		case <-stop:
			return err
		case <-time.After(retry):
		}
		if err = b.log.Append(batch, applied); !errors.Is(err, wal.ErrFull) {
			return err
		}
	}
}

// postponed is work of the broker's own for which the disk had no room. It is tried again after each look
// for alarms, and the disk alarm lasts until it is done.
type postponed struct {
	do   func() // postpones itself again if there is still no room
	done func() // with the alarm
}

func (b *Broker) postpone(do func()) {
	b.postponed.Lock()
	defer b.postponed.Unlock()
	b.postponed.work = append(b.postponed.work, postponed{do, b.alarms.Full()})
}

// workOff tries once more what was postponed.
func (b *Broker) workOff() {
	b.postponed.Lock()
	work := b.postponed.work
	b.postponed.work = nil
	b.postponed.Unlock()
	for _, p := range work {
		p.do()
		p.done()
	}
}
