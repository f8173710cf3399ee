package load

import "time"

// clock counts the time of a run; all latencies are differences on it.
type clock struct{ epoch time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.epoch) }
