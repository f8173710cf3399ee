package wal

import (
	"context"
	"time"
)

// pacer keeps relocations from taking the disk away from who appends. They may read and write so many bytes a
// second, so that they end, and twice what is appended, so that they keep up however much that is: what was
// appended while none ran counts too, up to a segment or so. Guarded by Log.relocating.
type pacer struct {
	perSecond int64 // 0 = no bound
	at        time.Time
	appended  int64 // by the log until then
	credit    int64 // bytes; negative if more was taken than there was
}

const (
	paceOfAppends = 2
	mostCredit    = 64 << 20
	paceTick      = 10 * time.Millisecond // not each batch is worth a timer
)

// take accounts for bytes that were read or written, and waits until it is their time.
func (p *pacer) take(ctx context.Context, n int64, appended func() int64) error {
	if p.perSecond == 0 {
		return ctx.Err()
	}
	p.credit -= n
	for {
		now, have := time.Now(), appended()
		earned := int64(now.Sub(p.at).Seconds()*float64(p.perSecond)) + paceOfAppends*(have-p.appended)
		if earned > 0 { // else nothing is lost to rounding
			p.credit = min(p.credit+earned, mostCredit)
			p.at, p.appended = now, have
		}
		if p.credit >= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(paceTick)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
