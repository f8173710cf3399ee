package wal

import (
	"container/list"
	"errors"
	"sync"

	"github.com/millrace-mq/millrace/segment"
)

// cachedBytes bounds the decompressed blocks that a log keeps. Those that views hold come on top; see
// View.Record for their bound.
const cachedBytes = 16 << 20

// blockCache keeps the blocks of old-generation files that were used last.
type blockCache struct {
	decoder *segment.OldDecoder

	mu struct { // a leaf; not held while a block is read
		sync.Mutex
		blocks map[blockKey]*list.Element // of *cachedBlock
		used   list.List                  // the last used first
		bytes  int
	}
}

// blockKey names a block by what the file's tables say of it, for they may have to be made anew. Files are told apart
// by identity: another file may get the same name.
type blockKey struct {
	file   *segmentFile
	offset int64
	size   int
	raw    int
	crc    uint32
}

// cachedBlock is decompressed by whoever asks first; others wait.
type cachedBlock struct {
	key  blockKey
	size int
	once sync.Once
	raw  []byte
	err  error
}

func newBlockCache() (*blockCache, error) {
	decoder, err := segment.NewOldDecoder()
	if err != nil {
		return nil, err
	}
	c := &blockCache{decoder: decoder}
	c.mu.blocks = map[blockKey]*list.Element{}
	return c, nil
}

// block returns the raw bytes of a file's block. The caller holds a lease on the file while it asks; the bytes
// are memory of their own.
func (c *blockCache) block(s *segmentFile, at segment.OldBlock) ([]byte, error) {
	b := c.entry(blockKey{s, at.Offset, at.Compressed, at.Raw, at.CRC}, at.Raw)
	b.once.Do(func() {
		// Once does not know of panics, and others wait.
		b.err = s.guarded(func() (err error) {
			b.raw, err = c.decoder.Block(s.mapping.Bytes(), at)
			return err
		})
	})
	if errors.Is(b.err, ErrUnreadable) {
		c.drop(b) // the disk may be mended
	}
	return b.raw, b.err
}

// drop lets go of one block, if it is cached still.
func (c *blockCache) drop(b *cachedBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.mu.blocks[b.key]; ok && e.Value == b {
		c.dropLocked(e)
	}
}

// entry returns the cached block, or makes it one that is yet to be read, and lets go of what is too much.
func (c *blockCache) entry(key blockKey, size int) *cachedBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.mu.blocks[key]; ok {
		c.mu.used.MoveToFront(e)
		return e.Value.(*cachedBlock)
	}
	b := &cachedBlock{key: key, size: size}
	if b.size > cachedBytes {
		return b
	}
	c.mu.blocks[key] = c.mu.used.PushFront(b)
	c.mu.bytes += b.size
	for c.mu.bytes > cachedBytes {
		c.dropLocked(c.mu.used.Back())
	}
	return b
}

// forget lets go of the blocks of a file that has left the log.
func (c *blockCache) forget(s *segmentFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.mu.used.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cachedBlock).key.file == s {
			c.dropLocked(e)
		}
		e = next
	}
}

func (c *blockCache) dropLocked(e *list.Element) {
	b := c.mu.used.Remove(e).(*cachedBlock)
	delete(c.mu.blocks, b.key)
	c.mu.bytes -= b.size
}
