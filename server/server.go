package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/server/control"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/alarm"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/session"
	"github.com/millrace-mq/millrace/wal"
)

// Config is what a server is told. Zero values mean defaults.
type Config struct {
	// Data is the folder that holds everything worth keeping; it is created if missing.
	Data string
	// Listen is the address for AMQP, host:port. Port 0 takes a free one.
	Listen string
	// TLSListen is the address for AMQP over TLS, host:port; empty is none. TLS says with what certificates.
	TLSListen string
	TLS       TLSConfig
	// CertificateName is what of a client's certificate EXTERNAL takes for the user's name:
	// distinguished_name, which is the default, common_name or subject_alternative_name (CONN-05).
	CertificateName string
	// First is who gets into a data folder without users; zero fields are those of guest (AUTH-06).
	First FirstStart
	// LoopbackUsers may connect from this machine only; nil is guest, an empty list nobody.
	LoopbackUsers []string
	// Limits are those of the whole broker (LIM-03).
	Limits Limits
	// Sync is what a confirm stands for.
	Sync wal.Level
	// SegmentSize is the size of the log's files in bytes.
	SegmentSize int64
	// RetainBytes and RetainTime keep consumed history.
	RetainBytes int64
	RetainTime  time.Duration
	// CheckpointEvery limits what a restart has to replay.
	CheckpointEvery time.Duration
	// MaxMessageSize is the largest body accepted, in bytes.
	MaxMessageSize int64
	// Definitions is a file of users, permissions, policies and so on, in the JSON of RabbitMQ's definitions. What
	// it says is brought about before clients are served. Empty is none.
	Definitions string
	// MemoryLimit is how much memory the process may hold before connections that publish are blocked, and
	// DiskFreeLimit how many bytes must be free on the disk with the data. Zero is no limit.
	MemoryLimit   MemoryLimit
	DiskFreeLimit int64
	// ConsumerTimeout is how long a consumer may take to settle a delivery, unless its queue says otherwise;
	// negative is for ever.
	ConsumerTimeout time.Duration
	// HeavyRate is how many bytes a second all connections that publish much may bring together, for each processor,
	// while others publish little; negative holds nobody back.
	HeavyRate int64
	// Repair goes on without the records of files in which nothing can be read, and with files whose damaged
	// headers do not follow from the rest.
	Repair bool
	// Heartbeat is the interval offered to clients.
	Heartbeat time.Duration
	// Version is shown to clients.
	Version string
	Logger  *slog.Logger
}

// Validate reports all faults of the configuration together.
func (c Config) Validate() error {
	var faults []error
	if c.Data == "" {
		faults = append(faults, errors.New("no data folder is given"))
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		faults = append(faults, fmt.Errorf("listen address %q is not host:port: %w", c.Listen, err))
	}
	faults = append(faults, c.validateAccess())
	if c.MaxMessageSize < 0 || c.MaxMessageSize > maxMessageSize {
		faults = append(faults, fmt.Errorf("largest message size %d is not between 0 and %d bytes", c.MaxMessageSize, maxMessageSize))
	}
	if c.Heartbeat < 0 || c.Heartbeat > maxHeartbeat || c.Heartbeat%time.Second != 0 {
		faults = append(faults, fmt.Errorf("heartbeat %v is not a number of whole seconds up to %v", c.Heartbeat, maxHeartbeat))
	}
	if c.CheckpointEvery < 0 {
		faults = append(faults, fmt.Errorf("checkpoint interval %v is negative", c.CheckpointEvery))
	}
	if c.RetainBytes < 0 {
		faults = append(faults, fmt.Errorf("retained bytes %d are negative", c.RetainBytes))
	}
	if c.RetainTime < 0 {
		faults = append(faults, fmt.Errorf("retained time %v is negative", c.RetainTime))
	}
	if c.DiskFreeLimit < 0 {
		faults = append(faults, fmt.Errorf("limit of free disk space %d is negative", c.DiskFreeLimit))
	}
	faults = append(faults, c.MemoryLimit.Validate())
	faults = append(faults, wal.Config{Dir: "-", SegmentSize: c.SegmentSize, Sync: c.Sync}.Validate())
	return errors.Join(faults...)
}

const (
	maxMessageSize = 512 << 20           // WIRE-15
	maxHeartbeat   = 65535 * time.Second // it travels as u16
)

// MemoryLimit is a number of bytes, or a share of what the process may use.
type MemoryLimit = alarm.Limit

// Server is a running server.
type Server struct {
	broker      *broker.Broker
	listeners   []*listener
	logger      *slog.Logger
	stopper     session.Stopper
	definitions *definitionsFile // nil without one
	control     *control.Server  // nil where there can be no socket

	mu struct {
		sync.Mutex
		closed bool           // no connection is added any more
		conns  sync.WaitGroup // their readers
	}
}

// Open takes the port, opens the data folder and recovers what it holds. Clients can connect at once
// and are served when Serve runs. The port comes first: a server that cannot listen should not spend
// minutes on recovery before it says so.
func Open(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	file, defined, err := readDefinitions(cfg)
	if err != nil {
		return nil, err
	}
	listeners, err := cfg.listen()
	if err != nil {
		return nil, err
	}
	b, err := broker.Open(broker.Config{
		Data: cfg.Data, Sync: cfg.Sync, SegmentSize: cfg.SegmentSize, RetainBytes: cfg.RetainBytes,
		RetainTime: cfg.RetainTime, CheckpointEvery: cfg.CheckpointEvery, Repair: cfg.Repair, Logger: cfg.Logger,
		ConsumerTimeout: cfg.ConsumerTimeout, HeavyRate: cfg.HeavyRate,
		NoFirstStart: defined != nil && len(defined.Users) > 0, // AUTH-06
		Alarms:       alarm.Config{Memory: cfg.MemoryLimit, DiskFree: uint64(cfg.DiskFreeLimit)},
		FirstStart:   cfg.First.access(), LoopbackUsers: cfg.LoopbackUsers, Limits: access.NodeLimits(cfg.Limits),
		Version: cfg.Version,
	})
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	if defined != nil {
		if err := file.apply(b, defined); err != nil {
			closeAll(listeners)
			return nil, errors.Join(err, b.Close())
		}
	}
	s := &Server{broker: b, listeners: listeners, logger: cfg.Logger, definitions: file}
	if s.control, err = control.Listen(cfg.Data, operator{b, cfg.Version}, cfg.Logger); err != nil {
		cfg.Logger.Warn("nothing can be asked of this broker, such as a backup while it runs", "error", err)
		s.control = nil
	}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listeners[0].Addr() }

// TLSAddr is the address that it listens on for TLS, nil if it does not.
func (s *Server) TLSAddr() net.Addr {
	if len(s.listeners) == 1 {
		return nil
	}
	return s.listeners[1].Addr()
}

// Recovery tells what the data folder held.
func (s *Server) Recovery() broker.Recovery { return s.broker.Recovery() }

// Serve accepts connections until Shutdown is called.
func (s *Server) Serve() error {
	var accepting sync.WaitGroup
	for _, l := range s.listeners {
		accepting.Go(func() { s.accept(l) })
	}
	if s.control != nil {
		accepting.Go(s.control.Serve)
	}
	accepting.Wait()
	return nil
}

func (s *Server) accept(l *listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: others close theirs in time
			s.logger.Error("connection not accepted", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if l.tls != nil {
			conn = tls.Server(conn, l.tls) // the handshake is the connection's own business
		}
		s.serve(l, conn)
	}
}

func (s *Server) serve(l *listener, conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		conn.Close()
		return
	}
	s.mu.conns.Go(func() { session.Serve(l.session, s.broker, conn, &s.stopper) })
}

// ServeConn serves a client whose connection came some other way than to a port: within the process, over a pipe. It
// returns at once; the connection is as one that came to the port without TLS.
func (s *Server) ServeConn(conn net.Conn) { s.serve(s.listeners[0], conn) }

// Failed is closed when a write or a sync of the log has failed, which is never tried again. Nothing is stored or
// confirmed from then on; what Shutdown returns says why.
func (s *Server) Failed() <-chan struct{} { return s.broker.Failed() }

// Shutdown tells the clients, waits until their connections have ended, writes a checkpoint and closes
// the data folder.
func (s *Server) Shutdown() error {
	closeAll(s.listeners)
	if s.control != nil {
		if err := s.control.Close(); err != nil {
			s.logger.Warn("control socket not closed", "error", err)
		}
	}
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.broker.Stop()
	s.stopper.Stop()
	s.mu.conns.Wait()
	return s.broker.Close()
}
