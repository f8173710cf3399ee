package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Backup is what a backup holds.
type Backup struct {
	Version string    `json:"version"`
	First   uint64    `json:"first"` // record
	Last    uint64    `json:"last"`
	Mark    uint64    `json:"index_mark"` // 0: there is no index
	Time    time.Time `json:"time"`       // everything that was confirmed before is in it
}

// Operator does what is asked for. Its methods may be called by several goroutines at a time.
type Operator interface {
	// Backup makes an empty or missing folder a copy of the data folder. Errors that match ErrRefused say that
	// nothing was begun.
	Backup(ctx context.Context, to string) (Backup, error)
}

// ErrRefused marks the answer to what was not begun.
var ErrRefused = errors.New("refused")

// Refused makes an error match ErrRefused; what it says stays.
func Refused(err error) error { return refused{err} }

type refused struct{ error }

func (e refused) Unwrap() error        { return e.error }
func (e refused) Is(target error) bool { return target == ErrRefused }

// Server answers at a data folder's socket.
type Server struct {
	// Immutable.
	data     string
	listener *net.UnixListener
	operator Operator
	http     http.Server
	ctx      context.Context // of what is asked for; ends with Close
	cancel   context.CancelFunc

	mu struct {
		sync.Mutex
		closed bool // nothing more is begun
		asked  sync.WaitGroup
	}
}

// Listen takes the socket in a data folder, whose lock the caller has; one that a killed broker left is replaced. What
// connects waits for Serve.
func Listen(data string, operator Operator, logger *slog.Logger) (*Server, error) {
	l, err := listen(data)
	if err != nil {
		return nil, fmt.Errorf("control socket in %s: %w", data, err)
	}
	s := &Server{data: data, listener: l, operator: operator}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", s.once(s.backup))
	s.http = http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve answers until Close.
func (s *Server) Serve() {
	_ = s.http.Serve(s.listener) // says only that it was closed
}

// Close gives the socket up and ends what is under way. It waits until the operator is not asked any more.
func (s *Server) Close() error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.cancel()
	s.mu.asked.Wait()
	err := errors.Join(os.Remove(filepath.Join(s.data, name)), s.http.Close())
	if closed := s.listener.Close(); !errors.Is(closed, net.ErrClosed) { // as it is where Serve ran
		err = errors.Join(err, closed)
	}
	return err
}

// once calls a handler if Close has not been called, which waits for it.
func (s *Server) once(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		closed := s.mu.closed
		if !closed {
			s.mu.asked.Add(1)
		}
		s.mu.Unlock()
		if closed {
			answer(w, http.StatusConflict, failure{"the broker is stopping"})
			return
		}
		defer s.mu.asked.Done()
		handle(w, r)
	}
}

// backup answers POST /backup.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		To string `json:"to"`
	}
	const most = 64 << 10 // bytes of a request
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		answer(w, http.StatusBadRequest, failure{err.Error()})
		return
	}
	done, err := s.operator.Backup(r.Context(), asked.To)
	switch {
	case errors.Is(err, ErrRefused):
		answer(w, http.StatusConflict, failure{err.Error()})
	case err != nil:
		answer(w, http.StatusInternalServerError, failure{err.Error()})
	default:
		answer(w, http.StatusOK, done)
	}
}

// failure is the body of every answer but 200.
type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone misses nothing
}
