package session

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/alarm"
	"github.com/millrace-mq/millrace/wal"
)

// While an alarm is active a connection that publishes is blocked: its reader waits here and nothing more of
// it is handled, be it in the read buffer already (CONN-20, CONN-22). The writer goes on with deliveries,
// confirms and heartbeats. Nobody reads, so nobody misses the client's heartbeats either; the watch for them
// begins afresh afterwards (CONN-18).

// awaitAlarms waits until no alarm is active. What was staged before takes effect first.
func (c *conn) awaitAlarms() error {
	err := c.flush()
	c.throttle = false
	for err == nil && c.state == running {
		active, changed := c.cfg.Alarms.Look()
		if active == 0 {
			c.unblock()
			break
		}
		c.block(active)
		if err = c.wait(changed, hangUpLook); err == nil {
			err = c.openMail(nil)
		}
	}
	return err
}

// awaitRoom tries again what the log had no room for, until it has. Until then the disk alarm is active, for
// the others too. When the connection is to end first, what was staged is given up: nobody confirmed it.
func (c *conn) awaitRoom(try func() error) error {
	const retry = 250 * time.Millisecond
	if c.leaving {
		c.client.Drop()
		return wal.ErrFull
	}
	defer c.cfg.Alarms.Full()()
	c.block(c.cfg.Alarms.Active())
	c.throttle = true // and then for the alarms
	for {
		if err := c.wait(nil, retry); err != nil {
			c.client.Drop()
			return err
		}
		if asked := c.mail.close(); asked != nil {
			c.client.Drop()
			return asked
		}
		if err := try(); !errors.Is(err, wal.ErrFull) {
			return err
		}
	}
}

// throttlePartial keeps a connection from sending more of a content that is not complete yet while memory is
// low: it is a publish that takes memory already.
func (c *conn) throttlePartial() error {
	if len(c.partial) == 0 || c.cfg.Alarms.Active()&alarm.Memory == 0 {
		return nil
	}
	c.throttle = true
	return c.afterward(nil)
}

// block notes that the connection is blocked and tells a client that can be told (CONN-21).
func (c *conn) block(why alarm.Set) {
	if c.blocked || c.state != running {
		return
	}
	c.blocked = true
	c.logger.Info("connection is blocked", "reason", why.String())
	if c.features.blocked {
		c.out.method(0, &amqp.ConnectionBlocked{Reason: why.String()})
	}
}

func (c *conn) unblock() {
	c.now = time.Now().UnixMilli()
	c.deadline = time.Time{} // the next look at it sets another
	if !c.blocked {
		return
	}
	c.blocked = false
	c.logger.Info("connection is not blocked any more")
	if c.features.blocked {
		c.out.method(0, &amqp.ConnectionUnblocked{})
	}
}

// hangUpLook is how often a blocked reader, which does not read, looks whether its peer has gone.
const hangUpLook = time.Second

// wait waits for the alarms to change or, if there is no channel for that, just waits, but not longer than
// patience. It returns early for mail when alarms are waited for, and errEnd when the connection is to end.
func (c *conn) wait(changed <-chan struct{}, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !c.stopping.Load() {
		if changed != nil && c.mail.waiting.Load() {
			return nil
		}
		select {
		case <-changed:
			return nil
		case <-timer.C:
			if !hungUp(c.net) {
				return nil
			}
			c.logger.Info("client of a blocked connection has gone")
			return errEnd
		case <-c.broken:
			return errEnd
		case <-c.halt:
		case <-c.out.drained: // perhaps for mail
		}
	}
	return errEnd
}

// hungUp reports whether the peer will send nothing more, without reading what it has sent.
func hungUp(nc net.Conn) bool {
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = inner.NetConn()
	}
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	events := 0
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		events, _ = unix.Poll(poll, 0)
	})
	return err != nil || events > 0
}
