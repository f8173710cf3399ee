package server

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/definitions"
)

// definitionsFile is a file that says what should exist (see package definitions).
type definitionsFile struct {
	path   string
	logger *slog.Logger

	mu struct {
		sync.Mutex                          // one reading at a time
		applied    *definitions.Definitions // the last that was brought about; nil before the first
	}
}

// readDefinitions reads the file of a configuration; both are nil if there is none.
func readDefinitions(cfg Config) (*definitionsFile, *definitions.Definitions, error) {
	if cfg.Definitions == "" {
		return nil, nil, nil
	}
	f := &definitionsFile{path: cfg.Definitions, logger: cfg.Logger}
	d, err := f.read()
	return f, d, err
}

// read reads the file, and tells what of it is passed over.
func (f *definitionsFile) read() (*definitions.Definitions, error) {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	d, err := definitions.Parse(filepath.Base(f.path), data)
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	for _, note := range d.Notes {
		f.logger.Info("definitions: " + note)
	}
	return d, nil
}

// apply brings definitions about. What the ones before said and these do not say ends, as far as
// [broker.Broker.ApplyDefinitions] says.
func (f *definitionsFile) apply(b *broker.Broker, d *definitions.Definitions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := b.ApplyDefinitions(d, f.mu.applied); err != nil {
		return fmt.Errorf("definitions: %w", err)
	}
	f.mu.applied = d
	return nil
}

// ReloadDefinitions reads the definitions file again and brings about what it says. A fault of the file is an
// error and changes nothing.
func (s *Server) ReloadDefinitions() error {
	if s.definitions == nil {
		return errors.New("the server was started without a definitions file")
	}
	d, err := s.definitions.read()
	if err != nil {
		return err
	}
	return s.definitions.apply(s.broker, d)
}
