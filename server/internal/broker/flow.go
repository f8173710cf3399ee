package broker

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Flow control. All publishers share the processors, the log's lock, its syncs, and the segments that are made ahead
// of it. One that publishes as fast as it can takes all of them, and those that publish little would wait as long as
// it does. So while a light publisher is at work, a heavy one stands still before it handles what it has read,
//
//   - until its turn comes: heavy ones share a rate, so that processors and disk are free most of the time;
//   - while little room is left before appends come to wait for a segment: it would wait there, but with all others;
//   - while the light one needs syncs and much has been appended that the next one must bring to disk.
//
// Where no light publisher is at work nobody is held back. Between light and heavy is a wide gap, so those that publish
// about equally much never hold each other back. It is the connection that counts; one that only consumes and
// acknowledges is neither.
const (
	// lightRate is how many bytes a second a light publisher brings at most, in the last window and in this one.
	lightRate = 4 << 20
	// heavyRate is how many a heavy one brings at least, reckoned without the time for which it was held back.
	heavyRate = 8 * lightRate
	// flowWindow is for how long bytes are counted, in ms. Who brought nothing for two of them is new again: with what
	// begins now it may be about to become anything.
	flowWindow = 1000
	// lightMemory is for how many ms after a batch its light publisher is at work.
	lightMemory = 100
	// turnRate is how many bytes a second all heavy publishers may bring together, for each processor, unless Config
	// says otherwise. Each byte of theirs is written twice, for segments are made of zeros first. With twice as much the
	// others' p99 is three times that alone.
	turnRate = 16 << 20
	// longestTurn bounds the wait for a turn.
	longestTurn = 100 * time.Millisecond
	// maxUnsynced is how much may wait for a sync when a heavy one goes on. What it has read is added to that.
	maxUnsynced = 64 << 10
)

// flow tells how much a connection publishes. It is owned by the connection's reader.
type flow struct {
	since int64 // when the counting began, in ms; 0: it has published nothing
	bytes int64 // published since then
	held  int64 // for how many ms since then it was held back
	rate  int64 // bytes a second in the window before; negative if there was none
	lit   int64 // when it counted as light, in ms
}

// count accounts for a batch.
func (f *flow) count(bytes int, now int64) {
	switch elapsed := now - f.since; {
	case elapsed >= 2*flowWindow+f.held:
		*f = flow{since: now, rate: -1, lit: f.lit}
	case elapsed >= flowWindow:
		free := max(elapsed-f.held, elapsed/16) // the clock is coarse
		*f = flow{since: now, rate: f.bytes * 1000 / free, lit: f.lit}
	}
	f.bytes += int64(bytes)
}

// light reports whether the connection publishes little, and did so before.
func (f *flow) light() bool { return f.rate >= 0 && max(f.rate, f.bytes) < lightRate }

// heavy reports whether it publishes much, or did so before.
func (f *flow) heavy() bool { return max(f.rate, f.bytes) >= heavyRate }

// turns is what heavy publishers wait for. Connections' readers call it.
type turns struct {
	light   atomic.Int64 // when a light publisher brought something, in ms
	durable atomic.Int64 // when that had to be synced

	mu struct {
		sync.Mutex
		next time.Time // when another heavy one may go on
	}
}

// take reserves the time that so many bytes take at a rate of bytes a second, and returns how long it is until that
// begins.
func (t *turns) take(bytes int, now time.Time, rate int64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait := min(max(t.mu.next.Sub(now), 0), longestTurn)
	t.mu.next = now.Add(wait + time.Duration(bytes)*time.Second/time.Duration(rate))
	return wait
}

// brought accounts for what the connection has published.
func (c *Client) brought(bytes int, durable bool, now int64) {
	f, t := &c.flow, &c.vhost.broker.turns
	f.count(bytes, now)
	if !f.light() || f.lit == now {
		return
	}
	f.lit = now
	t.light.Store(now)
	if durable {
		t.durable.Store(now)
	}
}

// Yields reports whether the connection is to stand still before it handles more: it publishes much and somebody else
// little. One that was light itself a moment ago does not wait for itself.
func (c *Client) Yields(now int64) bool {
	return c.vhost.broker.cfg.HeavyRate > 0 && c.flow.heavy() && now-c.vhost.broker.turns.light.Load() < lightMemory && now-c.flow.lit >= lightMemory
}

// Turn is for how long the connection stands still before it handles so many bytes.
func (c *Client) Turn(bytes int) time.Duration {
	b := c.vhost.broker
	return b.turns.take(bytes, time.Now(), b.cfg.HeavyRate*int64(runtime.GOMAXPROCS(0)))
}

// Strained returns nil if the log is fit for more from a heavy publisher. Else the channel that it returns is closed when
// that may have changed.
func (c *Client) Strained(now int64) <-chan struct{} {
	t, log := &c.vhost.broker.turns, c.vhost.broker.log
	if tight := log.Tight(); tight != nil {
		return tight
	}
	if now-t.durable.Load() >= lightMemory {
		return nil
	}
	return log.Behind(maxUnsynced)
}

// Held says for how long the connection stood still.
func (c *Client) Held(d time.Duration) { c.flow.held += d.Milliseconds() }
