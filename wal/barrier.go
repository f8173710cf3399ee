package wal

import "github.com/millrace-mq/millrace/segment"

// Barrier returns the number of the last record for which Append's applied has returned: whoever applies
// records under a lock that applied took finds all records up to it applied once that lock is free.
func (l *Log) Barrier() segment.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Last()
}

// Written is the number of bytes appended since Start, with all that segments begin with. It only grows.
func (l *Log) Written() int64 { return l.written.Load() }
