package wal

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
)

// fileList is the files of a log as views and cursors read them. A Log has one, which it appends to, and a Reader has
// one, which follows what another process makes of the directory.
type fileList struct {
	// Immutable.
	logger *slog.Logger
	cache  *blockCache // of old-generation files
	reader *Reader     // nil = a Log's: nobody else writes to the files

	segments   atomic.Pointer[[]*segmentFile] // sorted by base, never changed; replaced by the owner, under its lock
	last       atomic.Uint64                  // last record; moved by the owner
	retiring   sync.Mutex                     // one Retire, cooling or end of Relocate at a time
	wakeCooler chan struct{}                  // nil = there is none
}

// Last is the number of the last record written.
func (f *fileList) Last() segment.LSN { return segment.LSN(f.last.Load()) }

// First is the number of the oldest record kept; Last+1 when there is none.
func (f *fileList) First() segment.LSN {
	if list := f.list(); len(list) > 0 {
		return list[0].base
	}
	return f.Last() + 1
}

func (f *fileList) list() []*segmentFile { return *f.segments.Load() }

func (f *fileList) infos() []SegmentInfo {
	var infos []SegmentInfo
	for _, s := range f.list() {
		infos = append(infos, s.info())
	}
	return infos
}
