package index

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

func TestLevelsAreLoadedTogetherAndApartFromOtherQueues(t *testing.T) {
	s := openStore(t, t.TempDir())
	var all []*Queue
	for i, id := range []levelID{{1, 0}, {2, 0}, {2, 3}, {2, 255}, {3, 7}} {
		q := s.NewLevel(id.queue, id.level)
		fill(q, 1+i*10_000, 10+i)
		all = append(all, q)
	}
	checkpoint(t, s, 1, all...)
	levels, err := s.LoadLevels(2)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(levels)); !slices.Equal(got, []byte{0, 3, 255}) {
		t.Errorf("loaded the levels %v", got)
	}
	for i, level := range []byte{0, 3, 255} {
		q := checked(t, levels[level])
		if q.ID() != 2 || q.Level() != level || q.Ready() != 11+i {
			t.Errorf("level %d is %v with %d entries", level, q.levelID(), q.Ready())
		}
	}
	if q := load(t, s, 1); q.Ready() != 10 || q.Level() != 0 {
		t.Errorf("queue 1 is level %d with %d entries", q.Level(), q.Ready())
	}
	if _, err := s.LoadQueue(3); !errors.Is(err, ErrNoQueue) {
		t.Errorf("level 0 of a queue that has only another: %v", err)
	}
	for _, id := range []segment.QueueID{0, 4, 1 << 40} {
		if _, err := s.LoadLevels(id); !errors.Is(err, ErrNoQueue) {
			t.Errorf("queue %d: %v", id, err)
		}
	}
}

func TestDroppedQueueLosesAllItsLevels(t *testing.T) {
	s := openStore(t, t.TempDir())
	low, high, other := s.NewLevel(7, 1), s.NewLevel(7, 255), s.NewLevel(8, 1)
	for _, q := range []*Queue{low, high, other} {
		fill(q, 1, chunkSlots+5)
	}
	checkpoint(t, s, 1, low, high, other)
	c := s.Checkpoint()
	fill(high, 10_000, 1)
	c.Queue(high)
	c.DropQueue(7)
	if err := c.Commit(2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LoadLevels(7); !errors.Is(err, ErrNoQueue) {
		t.Errorf("dropped queue: %v", err)
	}
	if levels, err := s.LoadLevels(8); err != nil || levels[1].Ready() != chunkSlots+5 {
		t.Errorf("its neighbour: %v, %v", levels, err)
	}
}

func TestLevelThatIsEmptyIsLoaded(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := s.NewLevel(1, 5)
	fill(q, 1, 10)
	q.SettleRange(1, 10)
	checkpoint(t, s, 10, q)
	levels, err := s.LoadLevels(1)
	if err != nil || levels[5].Last() != 10 || levels[5].Ready() != 0 {
		t.Errorf("loaded %v, %v", levels, err)
	}
}

func TestDamagedLevelIsReported(t *testing.T) {
	for name, harm := range map[string]func(s *Store) error{
		"no meta": func(s *Store) error { return s.db.Delete(appendMetaKey(nil, levelID{1, 5}), pebble.NoSync) },
		"strange key": func(s *Store) error {
			return s.db.Set(append(appendLevelPrefix(nil, levelID{1, 6}), 'x'), nil, pebble.NoSync)
		},
	} {
		s, err := Open(Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		q := s.NewLevel(1, 5)
		fill(q, 1, 10)
		checkpoint(t, s, 1, q)
		if err := harm(s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.LoadLevels(1); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNoQueue) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.Check()) == 0 {
			t.Errorf("%s: the check finds nothing", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
