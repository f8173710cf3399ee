package republish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Progress is what a progress file says: up to where a replay has come.
type Progress struct {
	Source    string      `json:"source"`    // where messages come from
	Selection string      `json:"selection"` // which of them
	Target    string      `json:"target"`    // where they go; no password
	LSN       segment.LSN `json:"lsn"`       // all up to this record are confirmed; 0: none
	Messages  uint64      `json:"messages"`  // that were confirmed, in all runs
	Updated   time.Time   `json:"updated"`
}

// LoadProgress reads a progress file; one that is not there says that nothing has been done. It must be of the same
// replay: what the others say besides the number must be equal.
func LoadProgress(path string, replay Progress) (Progress, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return replay, nil
	}
	if err != nil {
		return replay, fmt.Errorf("progress: %w", err)
	}
	var p Progress
	if err := json.Unmarshal(data, &p); err != nil {
		return replay, fmt.Errorf("progress file %s: %w", path, err)
	}
	for _, same := range []struct{ what, was, is string }{
		{"source", p.Source, replay.Source}, {"selection", p.Selection, replay.Selection}, {"target", p.Target, replay.Target},
	} {
		if same.was != same.is {
			return replay, fmt.Errorf("progress file %s is of another replay: its %s was %q, and is %q now; take another file, or remove it",
				path, same.what, same.was, same.is)
		}
	}
	return p, nil
}

// Save writes the file: what was there before is replaced as a whole, so that the file is true whenever the machine stops.
func (p *Progress) Save(path string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	return nil
}

func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
