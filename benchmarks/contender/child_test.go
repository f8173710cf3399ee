package contender

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script writes a program that stands in for millrace; it sees the folder as $3.
func script(t *testing.T, text string) (executable string, s Settings) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millrace")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, Settings{Data: t.TempDir(), Sync: "disk"}
}

// leftovers are the folders that a broker has left behind.
func leftovers(t *testing.T, s Settings) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// listen is how a script starts that a TERM ends in good order.
const listen = `trap 'exit ${code:-0}' TERM
echo "millrace 1 listening on 127.0.0.1:4711, data in $3, sync $7"
`

func TestChildIsStartedAndStopped(t *testing.T) {
	path, s := script(t, `[ "$1 $2 $4 $5 $6 $7" = "serve --data --listen 127.0.0.1:0 --sync disk" ] || echo "$@" >&2
[ -d "$3" ] || echo "no $3" >&2
`+listen+"while :; do sleep 0.01; done")
	c, err := startChild(t.Context(), path, s)
	if err != nil {
		t.Fatal(err)
	}
	if c.address.Host != "127.0.0.1:4711" || c.version != "millrace 1" || len(leftovers(t, s)) != 1 {
		t.Errorf("target %+v in %v", c.address, leftovers(t, s))
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestChildThatDoesNotStartSaysWhy(t *testing.T) {
	path, s := script(t, "echo no room >&2; exit 1")
	if _, err := startChild(t.Context(), path, s); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("error %v", err)
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	path = filepath.Join(s.Data, "missing")
	if _, err := startChild(t.Context(), path, s); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestChildThatNeverListensIsEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path, s := script(t, "exec sleep 600")
	if _, err := startChild(ctx, path, s); err == nil {
		t.Error("no error")
	}
}

func TestChildsComplaintsAreErrors(t *testing.T) {
	for _, text := range []string{
		"echo level=ERROR >&2\n" + listen + "while :; do sleep 0.01; done",
		"code=3; echo level=ERROR >&2\n" + listen + "while :; do sleep 0.01; done",
	} {
		path, s := script(t, text)
		c, err := startChild(t.Context(), path, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.stop(); err == nil || !strings.Contains(err.Error(), "level=ERROR") {
			t.Errorf("error %v", err)
		}
	}
}
