package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/segment"
)

const (
	formatMagic = "millrace index"

	// formatVersion is that of keys and payloads. Version 1 had no deadlines, no
	// returns and no levels.
	formatVersion = 2
)

// Config says where a view is and what it may use. Zero values mean defaults.
type Config struct {
	Dir        string       // folder of the view; made if it does not exist
	CacheBytes int64        // Pebble's block cache; 0 = 8 MiB
	Logger     *slog.Logger // nil = discard
	ReadOnly   bool         // changes nothing, but for the file that locks the folder, which must hold a view

	FS vfs.FS // nil = the disk; tests inject faults and crashes
}

// Validate reports all faults of the configuration together.
func (c Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("index: no folder given"))
	}
	if c.CacheBytes < 0 {
		faults = append(faults, fmt.Errorf("index: negative cache size %d", c.CacheBytes))
	}
	return errors.Join(faults...)
}

// Store is the materialised view as of its last checkpoint. It is safe for
// concurrent use.
type Store struct {
	db   *pebble.DB
	lock *pebble.Lock // of the folder

	mark      atomic.Uint64 // LSN
	begun     atomic.Uint64 // generation of the checkpoint begun last
	committed atomic.Uint64 // generation of the checkpoint committed last

	// open keeps Pebble from being closed under a reader: it panics then.
	open struct {
		sync.RWMutex
		closed bool
	}
	commit struct {
		sync.Mutex       // one Commit at a time; taken before open
		failed     error // permanent
		spare      buffers
	}
}

// Open opens the view in a folder, or makes an empty one. It returns an error that
// matches ErrCorrupt if the folder cannot be read (delete it and replay the log),
// as does ErrOutdated, which says that an older millrace wrote it; ErrVersion if a newer
// millrace wrote it, ErrForeign if it holds something else.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, lock, fresh, err := openPebble(cfg, log)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, lock: lock}
	if err := s.readHeader(cfg.Dir, fresh); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the view. Queues that are still in use can no longer page in.
func (s *Store) Close() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.open.Lock()
	defer s.open.Unlock()
	if s.open.closed {
		return ErrClosed
	}
	s.open.closed = true
	return errors.Join(guard("close", s.db.Close), s.lock.Close())
}

// Mark returns the LSN up to which the view holds the effect of every record; 0 for
// an empty view. The replay begins behind it.
func (s *Store) Mark() segment.LSN { return segment.LSN(s.mark.Load()) }

// Objects calls fn for every stored object, in order of kind and id. The value is
// borrowed until fn returns. The first error ends the iteration and is returned.
func (s *Store) Objects(fn func(ObjectKey, []byte) error) error {
	return s.scan([]byte{prefixObject}, func(key, value []byte) error {
		k, ok := parseObjectKey(key)
		if !ok {
			return corruptf("object key %x", key)
		}
		payload, err := openValue(key, value)
		if err != nil {
			return err
		}
		return fn(k, payload)
	})
}

// readHeader checks the format of an existing view, or writes that of a fresh one.
func (s *Store) readHeader(dir string, fresh bool) error {
	key := []byte{prefixFormat}
	payload, err := s.read(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return s.writeHeader(dir, fresh)
	}
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("index: open %s: %w", dir, err)
	}
	if err != nil {
		return err
	}
	magic, ok := bytes.CutPrefix(payload, []byte(formatMagic))
	if !ok || len(magic) != 4 {
		return corruptf("open %s: format %x", dir, payload)
	}
	if v := binary.LittleEndian.Uint32(magic); v > formatVersion {
		return fmt.Errorf("%w: %s has format version %d, known up to %d", ErrVersion, dir, v, formatVersion)
	}
	if v := binary.LittleEndian.Uint32(magic); v < formatVersion {
		return fmt.Errorf("%w: %s has format version %d, needed is %d", ErrOutdated, dir, v, formatVersion)
	}
	key = []byte{prefixMark}
	payload, err = s.read(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d := decoder{rest: payload}
	s.mark.Store(d.uvarint())
	return d.finish(key)
}

// writeHeader makes a fresh view an index. A folder that was not fresh has lost
// its header (or a crash interrupted its making, which loses nothing either), or
// never was an index.
func (s *Store) writeHeader(dir string, fresh bool) error {
	if !fresh {
		empty := true
		err := s.scan(nil, func(_, _ []byte) error { empty = false; return errStop })
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		// Every checkpoint writes the mark.
		if _, err := s.read([]byte{prefixMark}); err != nil && !empty {
			return fmt.Errorf("%w: %s", ErrForeign, dir)
		}
		return corruptf("open %s: the format of the view is missing", dir)
	}
	key := []byte{prefixFormat}
	value := append(beginValue(nil), formatMagic...)
	value = binary.LittleEndian.AppendUint32(value, formatVersion)
	return guard("write format", func() error { return s.db.Set(key, sealValue(key, value), pebble.Sync) })
}

// errStop ends a scan early.
var errStop = errors.New("index: stop")

// read returns a copy of a value's payload, or pebble.ErrNotFound.
func (s *Store) read(key []byte) ([]byte, error) {
	var payload []byte
	err := s.with(key, func(p []byte) error { payload = bytes.Clone(p); return nil })
	return payload, err
}

// with calls fn with the payload of a value, which is borrowed until fn returns.
func (s *Store) with(key []byte, fn func(payload []byte) error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.open.closed {
		return ErrClosed
	}
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return pebble.ErrNotFound
	}
	if err != nil {
		return readError(fmt.Sprintf("key %x", key), err)
	}
	defer closer.Close()
	payload, err := openValue(key, value)
	if err != nil {
		return err
	}
	return fn(payload)
}

// scan calls fn for every key with the prefix, in order. Key and value are
// borrowed until fn returns.
func (s *Store) scan(prefix []byte, fn func(key, value []byte) error) error {
	return s.scanRange(prefix, keyAfter(prefix), fn)
}

// scanRange is scan for the keys from one on, up to another that is not among them.
func (s *Store) scanRange(from, to []byte, fn func(key, value []byte) error) (err error) {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.open.closed {
		return ErrClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return readError(fmt.Sprintf("scan %x", from), err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = readError(fmt.Sprintf("scan %x", from), cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(fmt.Sprintf("key %x", it.Key()), err)
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}
