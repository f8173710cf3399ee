package main_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// tap is a client's network connection that a test can look into and
// interfere with, for what a well-behaved library never does.
type tap struct {
	net.Conn
	muted      atomic.Bool                              // swallow what the library writes
	heartbeats chan struct{}                            // one event for each heartbeat frame of the server
	onDeliver  atomic.Pointer[func(consumerTag string)] // called by the library's reader
	pending    []byte                                   // owned by the library's reader: bytes of an unfinished frame
}

// connectTapped is connectWith over a tapped connection.
func (b *Broker) connectTapped(t testing.TB, config amqp.Config) (*client, *tap) {
	t.Helper()
	tapped := &tap{heartbeats: make(chan struct{}, 64)}
	config.Dial = func(network, address string) (net.Conn, error) {
		conn, err := net.DialTimeout(network, address, patience)
		tapped.Conn = conn
		return tapped, err
	}
	return b.connectWith(t, config), tapped
}

func (c *tap) Write(p []byte) (int, error) {
	if c.muted.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.watch(p[:n])
	return n, err
}

// watch cuts the stream into frames and reports heartbeats.
func (c *tap) watch(p []byte) {
	c.pending = append(c.pending, p...)
	for len(c.pending) >= 7 {
		size := 8 + int(binary.BigEndian.Uint32(c.pending[3:7]))
		if len(c.pending) < size {
			return
		}
		c.report(c.pending[0], c.pending[7:size-1])
		c.pending = c.pending[size:]
	}
}

func (c *tap) report(kind byte, payload []byte) {
	switch {
	case kind == frameHeartbeat:
		select {
		case c.heartbeats <- struct{}{}:
		default:
		}
	case kind == frameMethod && bytes.HasPrefix(payload, []byte{0, 60, 0, 60}): // basic.deliver
		if onDeliver := c.onDeliver.Load(); onDeliver != nil {
			tag := payload[5:]
			(*onDeliver)(string(tag[:payload[4]]))
		}
	}
}

const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

// inject writes a frame of the test's own making.
func (c *tap) inject(t testing.TB, kind byte, channel uint16, payload ...byte) {
	t.Helper()
	frame := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	frame = append(append(frame, payload...), frameEnd)
	c.injectBytes(t, frame)
}

func (c *tap) injectBytes(t testing.TB, p []byte) {
	t.Helper()
	if _, err := c.Conn.Write(p); err != nil {
		t.Fatalf("write to the broker: %v", err)
	}
}
