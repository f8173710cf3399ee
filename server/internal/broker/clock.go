package broker

import (
	"sync"
	"time"
)

// clock wakes the queues whose messages, or who themselves, expire, and looks for deliveries that were not
// settled in time. It is a goroutine of its own that sleeps until the earliest of these times.
type clock struct {
	broker *Broker
	kick   chan struct{} // capacity 1: an earlier time than the one slept for
	done   chan struct{}

	mu struct {
		sync.Mutex
		until int64 // ms; what is slept for, 0 for nothing
	}
}

func newClock(b *Broker) *clock {
	return &clock{broker: b, kick: make(chan struct{}, 1), done: make(chan struct{})}
}

// before says that something is to be done at a time.
func (c *clock) before(at int64) {
	c.mu.Lock()
	earlier := c.mu.until == 0 || at < c.mu.until
	if earlier {
		c.mu.until = at
	}
	c.mu.Unlock()
	if earlier {
		signal(c.kick)
	}
}

func (c *clock) run(stop <-chan struct{}) {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-c.kick:
		case <-timer.C:
			c.tick(time.Now().UnixMilli())
		}
		c.mu.Lock()
		until := c.mu.until
		c.mu.Unlock()
		if until != 0 {
			timer.Reset(time.Until(time.UnixMilli(until)))
		}
	}
}

// tick lets expire what is due, and finds the next time.
func (c *clock) tick(now int64) {
	c.mu.Lock()
	c.mu.until = 0
	c.mu.Unlock()
	for _, vh := range c.broker.hosts() {
		vh.state.Lock()
		vh.state.agenda.Tick(now)
		expired, look := vh.state.agenda.TakeExpired(), vh.state.agenda.NextLook()
		vh.unlockStateAt(now) // says the next time
		if look != 0 && look <= now {
			look = vh.look(now)
		}
		if look != 0 {
			c.before(look)
		}
		for _, q := range expired {
			vh.deleteIf(q, func() bool { return q.Consumers() == 0 })
		}
	}
}
