package access

import (
	"maps"
	"slices"
	"sync/atomic"
)

// Config is what the configuration file says of access. The zero value restricts nobody.
type Config struct {
	// LoopbackUsers may connect from this machine only (AUTH-06).
	LoopbackUsers []string
}

// Control holds the present state. Any goroutine may read it; changing it is for one at a time.
type Control struct {
	// Immutable.
	loopback map[string]bool

	// The state is stored before the generation moves: who has seen a generation sees its state or a
	// newer one.
	state      atomic.Pointer[State]
	generation atomic.Uint64
}

// New returns a control of an empty state: nobody may do anything.
func New(cfg Config) *Control {
	c := &Control{loopback: make(map[string]bool, len(cfg.LoopbackUsers))}
	for _, name := range cfg.LoopbackUsers {
		c.loopback[name] = true
	}
	c.state.Store(&State{})
	return c
}

// LoopbackUsers returns the users that may connect from this machine only, sorted.
func (c *Control) LoopbackUsers() []string { return slices.Sorted(maps.Keys(c.loopback)) }

// State returns the present state.
func (c *Control) State() *State { return c.state.Load() }

// Generation returns a number that grows whenever a state is published.
func (c *Control) Generation() uint64 { return c.generation.Load() }

// Publish makes a state the present one. It was made from the present state, and nothing was published
// in between: the caller holds the lock that sees to that.
func (c *Control) Publish(next *State) {
	c.state.Store(next)
	c.generation.Add(1)
}

// Apply makes changes, all or none, under the same condition as Publish.
func (c *Control) Apply(changes ...Change) error {
	next, err := c.State().With(changes...)
	if err != nil {
		return err
	}
	c.Publish(next)
	return nil
}
