package session

import "time"

const (
	// mostHeld bounds for how long what was read is held back: settlements may be among it, or what others wait for.
	mostHeld = time.Second
	// heldRation is how much a connection that is held back reads at once.
	heldRation = 64 << 10
)

// awaitTurn holds back a connection that publishes much while somebody else publishes little. No client is told: it is a
// matter of milliseconds. What was read is handled in any case, also when the connection ends meanwhile.
func (c *conn) awaitTurn() {
	c.in.ration = 0
	if c.client == nil || c.state != running || !c.client.Yields(c.now) {
		return
	}
	c.in.ration = heldRation
	began := time.Now()
	timer := time.NewTimer(c.client.Turn(len(c.in.unread())))
	defer timer.Stop()
	c.stand(nil, timer)
	timer.Reset(mostHeld - time.Since(began))
	for c.now = time.Now().UnixMilli(); c.client.Yields(c.now); c.now = time.Now().UnixMilli() {
		if eased := c.client.Strained(c.now); eased == nil || !c.stand(eased, timer) {
			break
		}
	}
	c.client.Held(time.Since(began))
	c.deadline = time.Time{} // nobody has read: the next look at it sets another
}

// stand waits for changed or the timer, and reports whether it was changed.
func (c *conn) stand(changed <-chan struct{}, timer *time.Timer) bool {
	select {
	case <-changed:
		return true
	case <-timer.C:
	case <-c.broken:
	case <-c.halt:
	}
	return false
}
