package session

import (
	"github.com/valyala/bytebufferpool"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

// content is a message that is being received: basic.publish, then the header frame, then body frames.
// While it is whole within the read buffer everything is borrowed from there; what outlives the buffer
// is copied once by keep.
type content struct {
	stage   contentStage
	method  amqp.BasicPublish
	header  amqp.Header
	missing uint64 // body octets still to come
	pieces  [][]byte

	kept *bytebufferpool.ByteBuffer // the body so far, once it outlived a read buffer
	head []byte                     // copies of keys and header, then
}

type contentStage uint8

const (
	noContent contentStage = iota
	awaitContentHeader
	awaitContentBody
)

// begin starts a content with its method.
func (c *content) begin(payload []byte) error {
	if err := c.method.Decode(payload); err != nil {
		return err
	}
	c.stage = awaitContentHeader
	return nil
}

// frame adds a frame; done is true when the content is whole.
func (c *content) frame(f amqp.Frame, maxSize uint64) (done bool, err error) {
	if c.stage == awaitContentHeader {
		if f.Type != amqp.FrameHeader {
			return false, amqp.ExpectedHeader(amqp.BasicPublishID)
		}
		return c.setHeader(f.Payload, maxSize)
	}
	if f.Type != amqp.FrameBody {
		return false, amqp.ExpectedBody(amqp.BasicPublishID)
	}
	size := uint64(len(f.Payload))
	if size > c.missing {
		return false, amqp.BodyExceedsSize(amqp.BasicPublishID)
	}
	c.missing -= size
	switch {
	case c.kept != nil:
		c.kept.Write(f.Payload)
	case size > 0:
		c.pieces = append(c.pieces, f.Payload)
	}
	return c.missing == 0, nil
}

func (c *content) setHeader(payload []byte, maxSize uint64) (done bool, err error) {
	if c.header, err = amqp.ParseHeader(payload); err != nil {
		return false, err
	}
	size := c.header.BodySize
	switch {
	case size > hardMaxMessageSize:
		return false, amqp.Errorf(amqp.FrameError, amqp.BasicPublishID,
			"content body size %d exceeds maximum allowed size %d", size, hardMaxMessageSize)
	case size > maxSize: // the channel closes, which swallows the frames still to come
		return false, amqp.Errorf(amqp.PreconditionFailed, amqp.BasicPublishID,
			"message size %d is larger than configured max size %d", size, maxSize)
	}
	c.missing = size
	c.stage = awaitContentBody
	return c.missing == 0, nil
}

// hardMaxMessageSize is the size that no configuration goes beyond (WIRE-15).
const hardMaxMessageSize = 512 << 20

// keep copies what is borrowed from the read buffer.
func (c *content) keep() {
	if c.stage == noContent || c.kept != nil {
		return
	}
	keys := len(c.method.Keys)
	c.head = append(append(c.head[:0], c.method.Keys...), c.header.Raw...)
	c.method.Keys = c.head[:keys:keys]
	if c.stage == awaitContentHeader {
		return // the header will be borrowed from the next buffer: it is kept at that buffer's end
	}
	c.header.Raw = c.head[keys:]
	c.kept = bytebufferpool.Get()
	for _, piece := range c.pieces {
		c.kept.Write(piece)
	}
	clear(c.pieces)
	c.pieces = c.pieces[:0]
}

// size is how many octets the content has been given that outlive the read buffer.
func (c *content) size() int {
	if c.kept == nil {
		return 0
	}
	return len(c.kept.B) + len(c.head)
}

// publication describes the whole content to the broker, borrowing from it.
func (c *content) publication(p *broker.Publication, now int64) {
	*p = broker.Publication{
		Keys: c.method.Keys, Header: c.header, Body: c.pieces, Time: now,
	}
	if c.kept != nil {
		c.pieces = append(c.pieces[:0], c.kept.B)
		p.Body = c.pieces
	}
}

// reset makes the content ready for the next message.
func (c *content) reset() {
	if c.kept != nil {
		bytebufferpool.Put(c.kept)
		c.kept = nil
	}
	clear(c.pieces)
	c.pieces = c.pieces[:0]
	c.header, c.stage = amqp.Header{}, noContent
}
