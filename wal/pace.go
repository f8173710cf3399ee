package wal

import (
	"context"
	"time"
)

// pacer keeps work in the background from taking the disk away from who appends. It may read and write so many
// bytes a second, so that it ends, and twice what is appended, so that it keeps up however much that is: what was
// appended while it rested counts too, up to most. It has one user at a time.
type pacer struct {
	perSecond int64         // 0 = no bound
	most      int64         // bytes of credit
	tick      time.Duration // how long it rests: not each batch is worth a timer
	at        time.Time
	appended  int64 // by the log until then
	credit    int64 // bytes; negative if more was taken than there was
}

const (
	paceOfAppends = 2
	mostCredit    = 64 << 20
	paceTick      = 10 * time.Millisecond
)

// earn adds what there is to take since it was asked last.
func (p *pacer) earn(now time.Time, appended int64) {
	earned := int64(now.Sub(p.at).Seconds()*float64(p.perSecond)) + paceOfAppends*(appended-p.appended)
	if earned > 0 { // else the time is left to add up: nothing is lost to rounding
		p.credit = min(p.credit+earned, p.most)
		p.at, p.appended = now, appended
	}
}

// take accounts for bytes that were read or written, and waits until it is their time, or there is a hurry.
func (p *pacer) take(ctx context.Context, n int64, appended func() int64, hurry func() bool) error {
	p.credit -= n
	for ctx.Err() == nil {
		p.earn(time.Now(), appended())
		if p.perSecond == 0 || hurry() {
			p.credit = max(p.credit, 0)
		}
		if p.credit >= 0 {
			return nil
		}
		timer := time.NewTimer(p.tick)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return ctx.Err()
}
