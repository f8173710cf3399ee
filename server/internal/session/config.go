package session

import (
	"log/slog"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/alarm"
)

// Config is how the server speaks to its clients. Zero values stand for the defaults that
// [Config.WithDefaults] names.
type Config struct {
	// ChannelMax, FrameMax and Heartbeat are offered to clients (CONN-11).
	ChannelMax int
	FrameMax   uint32
	Heartbeat  time.Duration
	// SASL says how clients log in, Listener what kind of port they come to.
	SASL     access.SASL
	Listener access.Listener
	// MaxMessageSize is the largest body accepted, in bytes (WIRE-15).
	MaxMessageSize uint64
	// MaxHeld is how many bytes a connection may have sent of messages that are not complete yet and of
	// transactions that are not committed; by default 64 MiB, or two messages of the largest size.
	MaxHeld int
	// HandshakeTimeout is the time from the TCP connection to connection.open (HDR-05).
	HandshakeTimeout time.Duration
	// AuthFailureDelay is how long the answer to a failed login is held back (ERR-10). Negative: not at all.
	AuthFailureDelay time.Duration
	// Alarms block connections that publish; nil is the broker's.
	Alarms *alarm.Watch
	// ClusterName and Version are shown to clients.
	ClusterName, Version string
	Logger               *slog.Logger
}

// WithDefaults returns the configuration with defaults in place of zero values.
func (c Config) WithDefaults() Config {
	orDefault(&c.ChannelMax, 2047)
	orDefault(&c.FrameMax, 131072)
	orDefault(&c.Heartbeat, 60*time.Second)
	orDefault(&c.MaxMessageSize, 16<<20)
	orDefault(&c.MaxHeld, max(64<<20, 2*int(c.MaxMessageSize)))
	orDefault(&c.HandshakeTimeout, 10*time.Second)
	orDefault(&c.AuthFailureDelay, time.Second)
	orDefault(&c.ClusterName, "millrace")
	orDefault(&c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Stopper ends the connections of a server that shuts down. The zero Stopper is ready for use; it is
// safe for concurrent use.
type Stopper struct {
	mu struct {
		sync.Mutex
		conns   map[*conn]struct{}
		stopped bool
	}
}

// Stop tells every connection that the server shuts down (chapter 4.5) and ends it. It does not wait.
func (s *Stopper) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.stopped = true
	for c := range s.mu.conns {
		c.stop()
	}
}

func (s *Stopper) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.conns == nil {
		s.mu.conns = make(map[*conn]struct{})
	}
	s.mu.conns[c] = struct{}{}
	if s.mu.stopped {
		c.stop()
	}
}

func (s *Stopper) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// stop makes the reader return, which then gives back what the connection held and says the last word:
// in this order, for nothing may be delivered behind a connection.close. What the client sent and was not
// read yet is lost to it: nobody confirmed it. A client that does not even take the last word is cut off.
func (c *conn) stop() {
	c.stopping.Store(true)
	signal(c.halt)
	time.AfterFunc(lastWordTimeout, func() { c.net.Close() })
	c.net.SetReadDeadline(longAgo)
}
