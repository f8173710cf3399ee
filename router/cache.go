package router

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
)

// Bounds of a Cache. A connection that publishes with a few keys stays far below them.
const (
	firstSlots = 16
	maxSlots   = 2048
	// groupSlots is the number of neighbouring slots one entry may be in. With pairs, a thousand keys in
	// a thousand slots displace each other half of the time.
	groupSlots = 4
	// maxRemembered bounds the queues in the sets that a Cache keeps to share. A set that is larger
	// alone is kept until the next one.
	maxRemembered = 1 << 16
)

// Cache remembers where messages went, for one caller: a goroutine that publishes to one Router. It
// answers without the router's lock as long as the router has not changed.
//
// Answers are Sets, which never change: a caller may keep one as long as it likes. Equal answers at
// one generation are the same Set, whatever their keys, so that a publisher whose keys never repeat
// allocates nothing either.
//
// A Cache is bounded in entries and in queues. Entries sit in a table of small groups. When a
// group is full the table doubles; at its bound a new entry displaces one of the group. After a change of the
// router nothing is answered from it; what it still refers to is let go at the next Route.
type Cache[Q comparable] struct {
	router     *Router[Q]
	scratch    Scratch[Q]
	seed       maphash.Seed
	generation uint64 // of all answers in slots

	slots  []slot[Q] // length is zero or a power of two
	victim uint      // goes round, to displace each of a group in turn

	sets       map[uint64]*Set[Q] // by fingerprint; answers of this generation
	older      map[uint64]*Set[Q] // of the one before: a set outlives a change that it has nothing to do with
	remembered int                // queues and keepers in sets
	buffer     []Q
}

// Set is where some messages go. It never changes.
type Set[Q comparable] struct {
	queues []Q
	kept   *Kept

	// Memo is for the caller that owns the Cache to remember what it derived from the queues, say
	// their encoded form. It is nil at first. A Set can outlive a change of the router.
	Memo any
}

// Queues are the queues of the set, each once. The slice must not be changed.
func (s *Set[Q]) Queues() []Q { return s.queues }

// Kept is what exchanges do with the messages beside; nil, as a rule, for nothing. It must not be
// changed.
func (s *Set[Q]) Kept() *Kept { return s.kept }

func (s *Set[Q]) equal(queues []Q, kept *Kept) bool {
	return slices.Equal(s.queues, queues) && s.kept.equal(kept)
}

// Decision is an answer of a Cache.
type Decision[Q comparable] struct {
	Set      *Set[Q] // never nil; empty for a message that goes nowhere
	Internal bool    // as Outcome.Internal
}

// slot remembers one Decision.
type slot[Q comparable] struct {
	decision Decision[Q] // Set is nil in a slot that is free
	hash     uint64
	text     []byte // exchange, then key; the memory is used again
	exchange int    // length of the exchange in text
	anyKey   bool   // holds for every key of the exchange
}

// NewCache makes an empty cache for r.
func NewCache[Q comparable](r *Router[Q]) *Cache[Q] {
	return &Cache[Q]{router: r, seed: maphash.MakeSeed()}
}

// SetRandom gives the source that the cache's Scratch draws from; it is the cache's from then on.
func (c *Cache[Q]) SetRandom(source rand.Source) { c.scratch.Random = source }

// Lookup answers from memory, without any lock. If it cannot, Route can.
func (c *Cache[Q]) Lookup(m *Message) (Decision[Q], bool) {
	if len(c.slots) == 0 || c.generation != c.router.Generation() {
		return Decision[Q]{}, false
	}
	exchange := maphash.Bytes(c.seed, m.Exchange)
	if len(m.ExtraKeys) == 0 {
		if s := c.find(keyed(exchange, maphash.Bytes(c.seed, m.Key)), m, false); s != nil {
			return s.decision, true
		}
	}
	if s := c.find(exchange, m, true); s != nil {
		return s.decision, true
	}
	return Decision[Q]{}, false
}

// Route asks the router and remembers the answer as far as it may. The caller holds the owner's read
// lock. Errors are those of Router.Route.
func (c *Cache[Q]) Route(m *Message) (Decision[Q], error) {
	c.catchUp()
	queues, out, err := c.router.Route(c.buffer[:0], m, &c.scratch)
	if err != nil {
		return Decision[Q]{}, err
	}
	d := Decision[Q]{Set: c.share(queues, &out), Internal: out.Internal}
	clear(queues) // a deleted queue must not live on in the buffer
	c.buffer = queues
	exchange := maphash.Bytes(c.seed, m.Exchange)
	switch out.Depends {
	case OnExchange:
		c.remember(d, exchange, m, true)
	case OnKey:
		c.remember(d, keyed(exchange, maphash.Bytes(c.seed, m.Key)), m, false)
	}
	return d, nil
}

// keyed joins two hashes so that exchanging them makes a difference.
func keyed(exchange, key uint64) uint64 { return exchange*fingerprintPrime ^ key }

// catchUp forgets all answers if the router has changed. The caller holds the read lock, so the
// generation cannot move before the answers of this Route are in.
func (c *Cache[Q]) catchUp() {
	generation := c.router.Generation()
	if generation == c.generation {
		return
	}
	c.generation = generation
	clear(c.older)
	c.sets, c.older = c.older, c.sets
	c.forget()
}

// forget drops all answers and the sets they share, lest answers keep alive what sets let go.
func (c *Cache[Q]) forget() {
	for i := range c.slots {
		c.slots[i].decision.Set = nil
	}
	clear(c.sets)
	c.remembered = 0
}

// share finds the Set with these queues, and with what is kept, or makes it.
func (c *Cache[Q]) share(queues []Q, out *Outcome) *Set[Q] {
	if set, ok := c.sets[out.fingerprint]; ok && set.equal(queues, out.Kept) {
		return set
	}
	set, ok := c.older[out.fingerprint]
	if !ok || !set.equal(queues, out.Kept) {
		set = &Set[Q]{queues: slices.Clone(queues), kept: out.Kept.clone()}
	}
	size := len(queues) + out.Kept.len()
	if c.remembered+size > maxRemembered || len(c.sets) >= maxSlots {
		c.forget()
	}
	if c.sets == nil {
		c.sets = make(map[uint64]*Set[Q])
	}
	c.sets[out.fingerprint] = set
	c.remembered += size
	return set
}

// find returns the slot that answers, or nil.
func (c *Cache[Q]) find(hash uint64, m *Message, anyKey bool) *slot[Q] {
	group := c.group(hash)
	for i := range group {
		if s := &group[i]; s.hash == hash && s.decision.Set != nil && s.answers(m, anyKey) {
			return s
		}
	}
	return nil
}

func (s *slot[Q]) answers(m *Message, anyKey bool) bool {
	return s.anyKey == anyKey &&
		string(s.text[:s.exchange]) == string(m.Exchange) &&
		(anyKey || string(s.text[s.exchange:]) == string(m.Key))
}

// remember puts an answer into the table. A slot with the same hash is taken over: it is the same question,
// or one whose loss costs a look-up.
func (c *Cache[Q]) remember(d Decision[Q], hash uint64, m *Message, anyKey bool) {
	if len(c.slots) == 0 {
		c.slots = make([]slot[Q], firstSlots)
	}
	s := c.place(hash)
	s.decision, s.hash, s.anyKey, s.exchange = d, hash, anyKey, len(m.Exchange)
	s.text = append(s.text[:0], m.Exchange...)
	if !anyKey {
		s.text = append(s.text, m.Key...)
	}
}

// place finds a slot for the hash, making room if it must.
func (c *Cache[Q]) place(hash uint64) *slot[Q] {
	for {
		group := c.group(hash)
		for i := range group {
			if s := &group[i]; s.decision.Set == nil || s.hash == hash {
				return s
			}
		}
		if len(c.slots) >= maxSlots {
			c.victim++
			return &group[c.victim%groupSlots]
		}
		c.double()
	}
}

// group is the slots in which an entry with this hash may be.
func (c *Cache[Q]) group(hash uint64) *[groupSlots]slot[Q] {
	first := hash & uint64(len(c.slots)-1) &^ (groupSlots - 1)
	return (*[groupSlots]slot[Q])(c.slots[first:])
}

// double makes the table twice as large. No group can overflow: all its entries were in one group
// before.
func (c *Cache[Q]) double() {
	old := c.slots
	c.slots = make([]slot[Q], 2*len(old))
	for i := range old {
		group := c.group(old[i].hash)
		for j := range group {
			if old[i].decision.Set != nil && group[j].decision.Set == nil {
				group[j] = old[i]
				break
			}
		}
	}
}
