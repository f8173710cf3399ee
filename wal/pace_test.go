package wal

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A pacer of 1 MB/s, while so much is appended, lets so much pass in a time.
func TestPacerGivesTimeAndAppendsTheirShare(t *testing.T) {
	const rate, step = 1 << 20, 64 << 10
	for _, c := range []struct {
		name     string
		idle     time.Duration // before it begins
		appended int64         // a second
		take     int64
		want     time.Duration
	}{
		{name: "while nothing is appended, its rate", take: 4 * rate, want: 4 * time.Second},
		{name: "twice what is appended besides", appended: 2 * rate, take: 10 * rate, want: 2 * time.Second},
		{name: "what came up before it began", idle: 3 * time.Second, take: 4 * rate, want: time.Second},
		{name: "but no more than the most", idle: time.Hour, take: mostCredit + rate, want: time.Second},
		{name: "a burst that was appended before", idle: time.Second, appended: 100 * rate, take: mostCredit, want: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				appended := func() int64 { return int64(time.Since(began).Seconds() * float64(c.appended)) }
				p := pacer{perSecond: rate, most: mostCredit, tick: paceTick, at: began}
				time.Sleep(c.idle)
				from := time.Now()
				for taken := int64(0); taken < c.take; taken += step {
					if err := p.take(t.Context(), step, appended, func() bool { return false }); err != nil {
						t.Fatal(err)
					}
				}
				const slack = paceTick + step*time.Second/rate
				if took := time.Since(from); took < c.want-slack || took > c.want+slack {
					t.Errorf("took %v, not %v", took, c.want)
				}
			})
		})
	}
}

func TestPacerLetsGo(t *testing.T) {
	never, no := func() bool { return false }, func() int64 { return 0 }
	t.Run("when there is a hurry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			p := pacer{perSecond: 1, tick: paceTick, at: began}
			hurry := func() bool { return time.Since(began) >= time.Second }
			if err := p.take(t.Context(), 1<<30, no, hurry); err != nil || time.Since(began) > time.Second+paceTick {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			if p.credit != 0 {
				t.Errorf("a debt of %d is left", -p.credit)
			}
		})
	})
	t.Run("when its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			p := pacer{perSecond: 1, tick: paceTick, at: time.Now()}
			if err := p.take(ctx, 1<<30, no, never); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	})
	t.Run("without a bound", func(t *testing.T) {
		p := pacer{}
		if err := p.take(t.Context(), 1<<40, no, never); err != nil {
			t.Error(err)
		}
	})
	t.Run("and loses nothing to rounding", func(t *testing.T) {
		began := time.Now()
		p := pacer{perSecond: 1000, most: mostCredit, at: began}
		for i := range 10_000 {
			p.earn(began.Add(time.Duration(i+1)*100*time.Microsecond), 0)
		}
		if p.credit < 990 || p.credit > 1000 {
			t.Errorf("a second at 1000 a second gave %d", p.credit)
		}
	})
}
