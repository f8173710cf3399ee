package session

import (
	"testing"
	"unsafe"
)

// What docs/performance.md says of a connection that does not read. Bodies are not in it: deliveries name records of the
// log, and what is copied is copied for one write.
func TestConnectionThatDoesNotReadHoldsNoMoreThanItsBound(t *testing.T) {
	const (
		bound    = 12 << 20
		messages = 8192 // ahead of the writer, of package broker
	)
	item := int(unsafe.Sizeof(item{}))
	// The outbox's two lists grow by doubling at most; replies stop the reader, one of a buffer's worth of requests beyond.
	outbox := 2 * 2 * messages * item
	replies := 2 * (maxReplyBytes + maxInput)
	writes := 2*writeSize + 2*keepBuffer
	if sum := maxInput + outbox + replies + writes; sum > bound {
		t.Errorf("%d bytes, of them %d an item", sum, item)
	} else {
		t.Logf("%d bytes", sum)
	}
}
