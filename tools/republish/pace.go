package republish

import "time"

// Pace is how fast messages are sent. The zero value is as fast as the broker takes them.
type Pace struct {
	// Speed is how many times faster than they were recorded; 1 is the original pace. 0: not by their times.
	Speed float64
	// Rate is how many messages a second; 0: not by number.
	Rate float64
}

// late is how late a message may be for those behind it to catch up. After a longer stop the schedule moves instead:
// a broker that was blocked is not to be flooded.
const late = time.Second

// schedule says when messages are due. It reads no clock.
type schedule struct {
	pace  Pace
	begun bool
	start time.Time // when what was recorded at first is due
	first time.Time // when the first message was recorded
	sent  uint64    // since start
}

// wait is how long from now on the next message, which was recorded at a time, is to wait; zero or less is not at all.
// Each call is for another message.
func (s *schedule) wait(now, recorded time.Time) time.Duration {
	if s.pace.Speed <= 0 && s.pace.Rate <= 0 || s.pace.Rate <= 0 && recorded.IsZero() {
		return 0
	}
	if !s.begun {
		s.begun, s.start, s.first = true, now, recorded
	}
	after := time.Duration(0)
	if s.pace.Rate > 0 {
		after = time.Duration(float64(s.sent) / s.pace.Rate * float64(time.Second))
	} else {
		after = time.Duration(float64(recorded.Sub(s.first)) / s.pace.Speed)
	}
	s.sent++
	wait := s.start.Add(after).Sub(now)
	if wait < -late {
		s.start = s.start.Add(-wait)
	}
	return wait
}
