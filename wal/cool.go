package wal

import "time"

// A mapping by itself costs no memory, but what was read through it counts as the process's until it is
// unmapped: a broker that had gone through a large backlog would seem to hold all of it, to its operator and to the
// limits that a container sets. So the cooler takes what was read out of the process's memory soon after. It stays
// in the kernel's cache, and what is read once more costs a page fault for each 64 KiB.

// coolEvery bounds how much is in memory: what is read in that time.
const coolEvery = 100 * time.Millisecond

// warmed notes that a segment was read.
func (f *fileList) warmed(s *segmentFile) {
	if !s.warm.Load() {
		s.warm.Store(true)
		wake(f.wakeCooler)
	}
}

// cool is the cooler's goroutine. It sleeps while nobody reads.
func (l *Log) cool() {
	for {
		select {
		case <-l.wakeCooler:
		case <-l.keeperCtx.Done():
			return
		}
		select {
		case <-time.After(coolEvery):
		case <-l.keeperCtx.Done():
			return
		}
		l.coolOnce()
	}
}

// coolOnce cools the segments that were read since the last time. Retirement is kept out meanwhile: a lease of ours
// must not keep it from using a file again.
func (f *fileList) coolOnce() {
	f.retiring.Lock()
	defer f.retiring.Unlock()
	for _, s := range f.list() {
		if !s.warm.Load() || !s.mapping.Acquire() {
			continue
		}
		s.warm.Store(false) // before: what is read from here on is for the next time
		if err := s.mapping.Cool(); err != nil {
			f.logger.Warn("memory of a segment not given back", "file", s.path, "cause", err)
		}
		s.mapping.Release()
	}
}
