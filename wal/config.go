package wal

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace-mq/millrace/segment"
)

// Level says what Synced promises.
type Level int

const (
	// SyncDisk: a synced record survives a power cut; fdatasync has returned.
	SyncDisk Level = iota
	// SyncOS: a synced record survives a crash of the process; the kernel has it.
	SyncOS
)

// String returns the level as it is written in options.
func (l Level) String() string {
	if l == SyncOS {
		return "os"
	}
	return "disk"
}

const (
	defaultSegmentSize = 64 << 20
	minSegmentSize     = 16 << 10
	maxSegmentSize     = 4 << 30
)

// Config is everything that a log is told. The zero value of each field but Dir is usable.
type Config struct {
	Dir         string // made when missing; one log at a time
	Shard       uint32 // written to every segment; another shard's segments are refused
	SegmentSize int64  // bytes, a multiple of 4096; 0 = 64 MiB
	Sync        Level

	// KeepFree is how many bytes the log leaves free on its file system: with less it makes no new file, and
	// is full when those that it has are used up.
	KeepFree uint64

	// RelocationPace is how many bytes a second relocations read and write, beside twice what is appended
	// meanwhile; 0 = they are not held back.
	RelocationPace int64

	// Repair goes on without segments in which nothing can be read, and with those whose damaged headers do not
	// follow from the rest, and writes these anew. Without it Open refuses such a log.
	Repair bool

	// Catalogue returns records that let a segment be read alone, called under the append lock when a segment
	// starts. The batches stay the caller's, who changes them under that lock only; they may be the same each time.
	// It must not call the log. May be nil.
	Catalogue func() []*segment.Batch
	// OnSegment is called under the append lock when a segment has begun, before there is a record in it. It must not
	// call the log. May be nil.
	OnSegment func()
	// OnSynced is called by the syncer after Synced has moved. May be nil.
	OnSynced func(segment.LSN)
	// OnFailure is called by the syncer, once, when the log stops. It must not call Close. May be nil.
	OnFailure func(error)

	Logger *slog.Logger // nil = discard
	Disk   Disk         // zero = the operating system's; tests inject faults
}

// Validate reports all faults of the configuration together.
func (c Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("directory is empty"))
	}
	fits := c.SegmentSize >= minSegmentSize && c.SegmentSize <= maxSegmentSize && c.SegmentSize%segment.HeaderSize == 0
	if c.SegmentSize != 0 && !fits {
		faults = append(faults, fmt.Errorf("segment size %d is not a multiple of %d from %d to %d",
			c.SegmentSize, segment.HeaderSize, minSegmentSize, int64(maxSegmentSize)))
	}
	if c.Shard == anyShard {
		faults = append(faults, fmt.Errorf("shard %d is reserved", c.Shard))
	}
	if c.Sync != SyncDisk && c.Sync != SyncOS {
		faults = append(faults, fmt.Errorf("unknown sync level %d", int(c.Sync)))
	}
	if c.RelocationPace < 0 {
		faults = append(faults, fmt.Errorf("relocation pace %d is negative", c.RelocationPace))
	}
	if len(faults) > 0 {
		return fmt.Errorf("wal config: %w", errors.Join(faults...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.SegmentSize == 0 {
		c.SegmentSize = defaultSegmentSize
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Disk = c.Disk.withDefaults()
	return c
}
