package republish

import (
	"testing"
	"testing/synctest"
	"time"
)

// play sends messages that were recorded at some times, each of which takes the broker so long, and returns when they went.
func play(t *testing.T, pace Pace, recorded []time.Duration, takes func(i int) time.Duration) (went []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := schedule{pace: pace}
		for i, at := range recorded {
			if wait := s.wait(time.Now(), begin.Add(-time.Hour).Add(at)); wait > 0 {
				time.Sleep(wait)
			}
			went = append(went, time.Since(begin))
			if takes != nil {
				time.Sleep(takes(i))
			}
		}
	})
	return went
}

func TestMessagesGoWhenTheyAreDue(t *testing.T) {
	seconds := func(n ...float64) (d []time.Duration) {
		for _, s := range n {
			d = append(d, time.Duration(s*float64(time.Second)))
		}
		return d
	}
	held := func(i int) time.Duration { // the second is held up
		if i == 1 {
			return 10 * time.Second
		}
		return 0
	}
	slow := func(int) time.Duration { return 100 * time.Millisecond }
	for name, test := range map[string]struct {
		pace     Pace
		recorded []time.Duration
		takes    func(int) time.Duration
		want     []time.Duration
	}{
		"flat out":             {Pace{}, seconds(0, 5, 60), nil, seconds(0, 0, 0)},
		"original pace":        {Pace{Speed: 1}, seconds(0, 5, 60), nil, seconds(0, 5, 60)},
		"ten times faster":     {Pace{Speed: 10}, seconds(0, 5, 60), nil, seconds(0, 0.5, 6)},
		"half as fast":         {Pace{Speed: 0.5}, seconds(0, 5), nil, seconds(0, 10)},
		"begins at the first":  {Pace{Speed: 1}, seconds(30, 31), nil, seconds(0, 1)},
		"rate":                 {Pace{Rate: 2}, seconds(0, 5, 60, 60), nil, seconds(0, 0.5, 1, 1.5)},
		"a slow broker":        {Pace{Speed: 1}, seconds(0, 5, 5.01, 6), slow, seconds(0, 5, 5.1, 6)},
		"after a stop no rush": {Pace{Speed: 1}, seconds(0, 1, 2, 3, 4), held, seconds(0, 1, 11, 12, 13)},
		"rate after a stop":    {Pace{Rate: 1}, seconds(0, 0, 0, 0), held, seconds(0, 1, 11, 12)},
	} {
		t.Run(name, func(t *testing.T) {
			got := play(t, test.pace, test.recorded, test.takes)
			for i, want := range test.want {
				if got[i] != want {
					t.Errorf("went at %v, want %v", got, test.want)
					break
				}
			}
		})
	}
}

func TestWithoutTimesThereIsNoOriginalPace(t *testing.T) {
	s := schedule{pace: Pace{Speed: 1}}
	if wait := s.wait(time.Now(), time.Time{}); wait != 0 {
		t.Errorf("waits %v", wait)
	}
}
