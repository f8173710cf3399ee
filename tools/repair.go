package tools

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/wal"
)

// repaired is a line of 'millrace log verify --repair --json' about what was done; verified has the others.
type repaired struct {
	Kind    string `json:"kind"` // replaced or index
	File    string `json:"file,omitempty"`
	Aside   string `json:"aside,omitempty"`
	Instead string `json:"instead,omitempty"`
	From    uint64 `json:"from,omitempty"`
	To      uint64 `json:"to,omitempty"`
	Kept    int    `json:"kept"`
	Lost    int    `json:"lost"` // -1: nobody knows
	text    string
}

// repair replaces what is damaged, log first, then tells how things stand.
func (v *verification) repair() error {
	release, err := ownFolder(v.data)
	if err != nil {
		return err
	}
	release = sync.OnceFunc(release)
	defer release()
	before, err := v.log()
	if err != nil {
		return err
	}
	for _, fault := range before.Faults {
		if err := v.say(faultOfLog(&fault), fault.Error()); err != nil {
			return err
		}
	}
	aside := filepath.Join(v.data, "quarantine-"+time.Now().UTC().Format("20060102T150405.000"))
	// What the log would tell of damage has been told.
	if err := wal.Mend(v.command.Context(), logOf(v.data), aside, slog.New(slog.DiscardHandler), func(m wal.Mended) error {
		return v.did(aside, replaced(m))
	}); err != nil {
		return err
	}
	release() // what makes the index anew takes the lock itself, and what looks at it shares it
	checked, err := checkIndex(v.command, v.data)
	if err != nil {
		return err
	}
	if len(checked.Faults) > 0 {
		if err := v.rebuild(aside, checked); err != nil {
			return err
		}
	}
	return v.run()
}

// rebuild makes the index anew, and puts the old one to what was replaced.
func (v *verification) rebuild(aside string, checked indexReport) error {
	for _, f := range checked.Faults {
		if err := v.say(faultOfIndex(&f), f.String()); err != nil {
			return err
		}
	}
	done, err := v.offline.RebuildIndex(v.data, true, warnings(v.command))
	if err != nil {
		return err
	}
	r := repaired{
		Kind: "index", File: filepath.Join(v.data, "index"), Kept: done.Messages,
		text: fmt.Sprintf("%s: made anew: %d queues, %d messages", filepath.Join(v.data, "index"), done.Queues, done.Messages),
	}
	if done.Aside != "" {
		if err := os.MkdirAll(aside, 0o750); err != nil {
			return err
		}
		r.Aside = filepath.Join(aside, "index")
		if err := os.Rename(done.Aside, r.Aside); err != nil {
			return err
		}
		r.text += "; the damaged one is " + r.Aside
	}
	return v.did(aside, r)
}

// replaced words what was done to a file of the log.
func replaced(m wal.Mended) repaired {
	r := repaired{
		Kind: "replaced", File: m.Path, Aside: m.Aside, Instead: m.Instead, From: uint64(m.From), To: uint64(m.To),
		Kept: m.Kept, Lost: m.Lost,
	}
	switch {
	case m.Path == "":
		r.text = fmt.Sprintf("records %d to %d are missing: %s stands for them", m.From, m.To, m.Instead)
	case m.Instead == "":
		r.text = fmt.Sprintf("%s: is now %s; other files have its records", m.Path, m.Aside)
	case m.Lost < 0:
		r.text = fmt.Sprintf("%s: nothing can be read, records %d to %d are lost; it is now %s", m.Path, m.From, m.To, m.Aside)
	default:
		r.text = fmt.Sprintf("%s: written anew as %s: %d records kept, %d lost; the damaged one is %s",
			m.Path, filepath.Base(m.Instead), m.Kept, m.Lost, m.Aside)
	}
	return r
}

// did tells what was done, and notes it in the report beside what was replaced.
func (v *verification) did(aside string, r repaired) error {
	if err := os.MkdirAll(aside, 0o750); err != nil {
		return err
	}
	report, err := os.OpenFile(filepath.Join(aside, "report.txt"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(report, r.text)
	if err := errors.Join(err, report.Sync(), report.Close()); err != nil {
		return err
	}
	return v.say(r, r.text)
}

// say prints a line, or its object.
func (v *verification) say(object any, text string) error {
	if v.asJSON {
		return render.NewEncoder(v.command.OutOrStdout()).Encode(object)
	}
	_, err := fmt.Fprintln(v.command.OutOrStdout(), text)
	return err
}
