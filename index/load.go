package index

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// NewQueue returns an empty queue, of which the view holds nothing yet.
func (s *Store) NewQueue(id segment.QueueID) *Queue { return s.NewLevel(id, 0) }

// NewLevel returns one empty level of a priority queue, of which the view holds
// nothing yet. Each level is a Queue of its own, and is given to checkpoints by
// itself; only Checkpoint.DropQueue treats them as one. Level 0 of a queue is what
// NewQueue makes and LoadQueue loads.
func (s *Store) NewLevel(id segment.QueueID, level byte) *Queue {
	return &Queue{store: s, id: id, level: level, next: 1, dirty: true}
}

// NewLevel returns another level of the same queue, empty.
func (q *Queue) NewLevel(level byte) *Queue { return q.store.NewLevel(q.id, level) }

// LoadQueue returns a queue as of the last checkpoint, with everything ready, or
// ErrNoQueue. It reads the directory of its chunks and no chunk.
func (s *Store) LoadQueue(id segment.QueueID) (*Queue, error) { return s.load(levelID{queue: id}) }

// LoadLevels returns all levels of a queue that the view holds, each as LoadQueue
// would, or ErrNoQueue if there are none.
func (s *Store) LoadLevels(id segment.QueueID) (map[byte]*Queue, error) {
	levels, err := s.levels(id)
	if err != nil {
		return nil, fmt.Errorf("queue %d: %w", id, err)
	}
	if len(levels) == 0 {
		return nil, noQueue(levelID{queue: id})
	}
	queues := make(map[byte]*Queue, len(levels))
	for _, level := range levels {
		q, err := s.load(levelID{id, level})
		if errors.Is(err, ErrNoQueue) {
			err = corruptf("%v: keys, but no meta", levelID{id, level})
		}
		if err != nil {
			return nil, err
		}
		queues[level] = q
	}
	return queues, nil
}

// levels returns the levels of which the view has keys, in order. It seeks from
// level to level, over the keys of each.
func (s *Store) levels(id segment.QueueID) (levels []byte, err error) {
	from := appendQueuePrefix(nil, id)
	for end := keyAfter(from); ; {
		found := false
		err := s.scanRange(from, end, func(key, _ []byte) error {
			k, ok := parseQueueKey(key)
			if !ok {
				return corruptf("key %x", key)
			}
			found = true
			levels = append(levels, k.id.level)
			return errStop
		})
		if err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
		if !found || levels[len(levels)-1] == math.MaxUint8 {
			return levels, nil
		}
		from = appendLevelPrefix(from[:0], levelID{id, levels[len(levels)-1] + 1})
	}
}

func (s *Store) load(id levelID) (*Queue, error) {
	q, err := s.loadQueue(id)
	if err != nil && !errors.Is(err, ErrNoQueue) {
		return nil, fmt.Errorf("%v: %w", id, err)
	}
	return q, err
}

func noQueue(id levelID) error { return fmt.Errorf("%w: %v", ErrNoQueue, id) }

func (s *Store) loadQueue(id levelID) (*Queue, error) {
	m, err := s.loadMeta(id)
	if err != nil {
		return nil, err
	}
	q := &Queue{
		store: s, id: id.queue, level: id.level, next: m.next,
		last: m.last, horizon: m.horizon, redeliveredTo: m.redeliveredTo,
	}
	prefix := append(appendLevelPrefix(nil, id), byte(kindDirectory))
	err = s.scan(prefix, func(key, value []byte) error {
		k, ok := parseQueueKey(key)
		if !ok {
			return corruptf("key %x", key)
		}
		payload, err := openValue(key, value)
		if err != nil {
			return err
		}
		c, err := decodeDirectory(k.number, key, payload)
		if err != nil {
			return err
		}
		return q.adopt(c, key)
	})
	if err != nil {
		return nil, err
	}
	if uint64(len(q.chunks)) != m.chunks || uint64(q.live) != m.live || uint64(q.liveBytes) != m.liveBytes {
		return nil, corruptf("meta says %d chunks, %d entries, %d bytes; directory %d, %d, %d",
			m.chunks, m.live, m.liveBytes, len(q.chunks), q.live, q.liveBytes)
	}
	q.rewind()
	return q, nil
}

func (s *Store) loadMeta(id levelID) (m meta, err error) {
	key := appendMetaKey(nil, id)
	err = s.with(key, func(payload []byte) error {
		m, err = decodeMeta(key, payload)
		return err
	})
	if errors.Is(err, pebble.ErrNotFound) {
		return meta{}, noQueue(id)
	}
	return m, err
}

// adopt adds a chunk read from the directory.
func (q *Queue) adopt(c *chunk, key []byte) error {
	if c.number == 0 || c.number >= q.next || c.last > q.last {
		return corruptf("key %x: chunk %d up to LSN %d is ahead of the queue", key, c.number, c.last)
	}
	if n := len(q.chunks); n > 0 && q.chunks[n-1].last >= c.base {
		return corruptf("key %x: LSN %d is not above the chunk before", key, c.base)
	}
	q.chunks = append(q.chunks, c)
	q.live += int(c.live)
	q.ready += int(c.ready)
	q.liveBytes += c.liveBytes
	q.readyBytes += c.readyBytes
	q.expect(c, 0, c.due)
	return nil
}

// loadPage reads what is missing of a chunk's page and checks it against the
// directory entry.
func (s *Store) loadPage(id levelID, c *chunk) error {
	p := page{}
	if c.page != nil {
		p = *c.page // bitmaps that are resident are newer than what is stored
	} else {
		b, err := s.loadBitmaps(id, c)
		if err != nil {
			return err
		}
		p.live, p.redelivered, p.transient = b.live, b.redelivered, b.transient
		p.ready = append(p.ready, b.live...)
		if len(b.returns) > 0 {
			p.rare = &rareColumns{returns: make([]uint32, b.n)}
			for _, r := range b.returns {
				p.rare.returns[r.slot] = r.count
			}
		}
	}
	key := appendChunkKey(nil, id, kindEntries, c.number)
	err := s.with(key, func(payload []byte) error {
		got, err := decodeEntries(key, payload)
		if err != nil {
			return err
		}
		n := len(got.entries)
		if n != int(c.n) || got.base != c.base || got.base+segment.LSN(got.entries[n-1].delta) != c.last {
			return corruptf("key %x: %d entries from %d, directory says %d from %d", key, n, got.base, c.n, c.base)
		}
		p.entries = got.entries
		if got.deadlines != nil {
			p.rare = &rareColumns{deadlines: got.deadlines, returns: p.returns()}
		}
		return nil
	})
	if err != nil {
		return missing(key, err)
	}
	full := *c
	full.page = &p
	if bytes, lowest := p.bytes(), full.lowestLive(); bytes != c.liveBytes || lowest != c.lowest {
		return corruptf("key %x: %d live bytes from LSN %d, directory says %d from %d", key, bytes, lowest, c.liveBytes, c.lowest)
	}
	if least := p.least(p.live); least != c.leastDeadline {
		return corruptf("key %x: least deadline is %d, directory says %d", key, least, c.leastDeadline)
	}
	if c.page == nil {
		c.page = new(page)
	}
	*c.page = p
	return nil
}

// loadBitmaps returns the stored bitmaps of a chunk. The live one is never nil.
func (s *Store) loadBitmaps(id levelID, c *chunk) (b bitmaps, err error) {
	if c.hasBitmaps {
		key := appendChunkKey(nil, id, kindBitmaps, c.number)
		err = s.with(key, func(payload []byte) error {
			b, err = decodeBitmaps(key, payload)
			return err
		})
		if err != nil {
			return b, missing(key, err)
		}
		if b.n != int(c.n) {
			return b, corruptf("key %x: %d slots, directory says %d", key, b.n, c.n)
		}
	}
	if b.live == nil {
		b.live = make([]uint64, wordsFor(int(c.n)))
		for w := range b.live {
			b.live[w] = rangeMask(w, 0, int(c.n))
		}
	}
	if live, transient := countBits(b.live), countBits(b.transient); live != int(c.live) || transient != int(c.transient) {
		return b, corruptf("chunk %d: %d live and %d transient, directory says %d and %d",
			c.number, live, transient, c.live, c.transient)
	}
	for w := range b.transient {
		if b.transient[w]&^b.live[w] != 0 {
			return b, corruptf("chunk %d: transient entries that are not live", c.number)
		}
	}
	return b, nil
}

// missing makes the absence of a key that must be there damage.
func missing(key []byte, err error) error {
	if errors.Is(err, pebble.ErrNotFound) {
		return corruptf("key %x is missing", key)
	}
	return err
}
