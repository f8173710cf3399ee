package session

import "net"

// input is the read buffer of a connection. It starts small, since most connections are idle, and grows
// while reads fill it, so that a busy connection is handled in large batches.
type input struct {
	buf        []byte
	start, end int // what is read and not handled yet
	need       int // the size of the frame at start, as far as known
	most       int // how far it grows by itself: not at all for who has not logged in
	ration     int // how many octets are read at once; 0: what there is room for
	full       bool
}

const (
	firstInput = 4 << 10
	maxInput   = 256 << 10 // more only for a frame that is larger
)

func (in *input) init() { in.buf, in.most = make([]byte, firstInput), firstInput }

func (in *input) unread() []byte { return in.buf[in.start:in.end] }

func (in *input) advance(n int) { in.start += n }

// expect says how large the frame at the start of the unread octets is.
func (in *input) expect(size uint64) { in.need = int(size) }

// fill reads what there is, once. What was borrowed from the buffer before is lost.
func (in *input) fill(nc net.Conn) error {
	size := len(in.buf)
	if in.full && size < in.most {
		size *= 2
	}
	size = max(size, in.need)
	if unread := in.unread(); size > len(in.buf) {
		buf := make([]byte, size)
		copy(buf, unread)
		in.buf = buf
	} else {
		copy(in.buf, unread)
	}
	in.start, in.end = 0, in.end-in.start
	room := in.buf[in.end:]
	if in.ration > 0 {
		room = room[:min(in.ration, len(room))]
	}
	n, err := nc.Read(room)
	in.end += n
	in.full = in.end == len(in.buf)
	if n > 0 {
		return nil // an error will come again
	}
	return err
}
