package queue

import "math"

// Returns is how often a message came back to a queue that counts (QQ-02): the low half are failures, the
// high half other returns. Each half stays at its most.
type Returns uint32

// Failures is how many deliveries failed.
func (r Returns) Failures() int64 { return int64(uint16(r)) }

// Acquisitions is how often the message was handed out before.
func (r Returns) Acquisitions() int64 { return int64(uint16(r)) + int64(r>>16) }

func failures(returns uint32) int64 { return Returns(returns).Failures() }

// countReturn returns what a return makes of a count.
func countReturn(failed bool) func(uint32) uint32 {
	if failed {
		return countFailure
	}
	return countOther
}

func countFailure(returns uint32) uint32 {
	if uint16(returns) == math.MaxUint16 {
		return returns
	}
	return returns + 1
}

func countOther(returns uint32) uint32 {
	if returns>>16 == math.MaxUint16 {
		return returns
	}
	return returns + 1<<16
}
