package index

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// CopyTo puts the view as of its last checkpoint into a folder, which must not exist, and returns its mark. Pebble's
// tables never change, so they are linked where the file system allows it. All of it is on disk when it returns;
// checkpoints wait meanwhile.
func (s *Store) CopyTo(dir string) (mark segment.LSN, err error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.commit.failed != nil {
		return 0, s.commit.failed
	}
	s.open.RLock()
	defer s.open.RUnlock()
	if s.open.closed {
		return 0, ErrClosed
	}
	err = guard("copy to "+dir, func() error { return s.db.Checkpoint(dir, pebble.WithFlushedWAL()) })
	if err != nil {
		return 0, fmt.Errorf("index: copy to %s: %w", dir, err)
	}
	return s.Mark(), nil
}

// QueueIDs yields the queues that the view holds something of, in order. The error, which comes last, is of the view.
func (s *Store) QueueIDs() iter.Seq2[segment.QueueID, error] {
	return func(yield func(segment.QueueID, error) bool) {
		from := []byte{prefixQueue}
		for end := keyAfter(from); ; {
			var id segment.QueueID
			err := s.scanRange(from, end, func(key, _ []byte) error {
				k, ok := parseQueueKey(key)
				if !ok {
					return corruptf("key %x", key)
				}
				id = k.id.queue
				return errStop
			})
			if err == nil {
				return
			}
			if !errors.Is(err, errStop) {
				yield(0, err)
				return
			}
			if !yield(id, nil) {
				return
			}
			from = keyAfter(appendQueuePrefix(nil, id))
		}
	}
}
