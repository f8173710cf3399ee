package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pacer says when messages are due. A late sender sends at once what has become due meanwhile, and the
// time it was due at counts: a broker that stalls is charged with all that should have been sent
// (open loop, no coordinated omission).
type pacer struct {
	start    time.Duration // of the run
	interval time.Duration
}

// due is when the message is to be sent.
func (p *pacer) due(sequence uint64) time.Duration {
	return p.start + time.Duration(sequence)*p.interval
}

// ready is how many messages are due at a time, of all.
func (p *pacer) ready(now time.Duration) uint64 {
	if now < p.start {
		return 0
	}
	return uint64((now-p.start)/p.interval) + 1
}

// punctual gives the goroutine a thread of its own, which sleeps in the kernel and is woken when it is time, not up
// to 50 µs later with others: that would count as the broker's latency. It does so until release is called.
func punctual() (release func()) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it, it is late
	return runtime.UnlockOSThread
}

// sleepPrecisely sleeps to within some µs on a punctual goroutine, where time.Sleep wakes up to a millisecond late.
func sleepPrecisely(d time.Duration) {
	for d > 0 {
		left := unix.Timespec{}
		request := unix.NsecToTimespec(d.Nanoseconds())
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &request, &left); err != unix.EINTR {
			return
		}
		d = time.Duration(left.Nano())
	}
}
