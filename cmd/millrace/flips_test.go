package main_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	flipRounds = flag.Int("flip.rounds", 9, "rounds of the test of flipped bytes")
	flipSeed   = flag.Uint64("flip.seed", 1, "seed of the test of flipped bytes")
)

// TestFlippedBytesCostOnlyTheRecordsTheyHit changes bytes in the files of a broker, at any place, and reads all there
// is: in the log of one that runs, in that of one that was stopped, in its index.
func TestFlippedBytesCostOnlyTheRecordsTheyHit(t *testing.T) {
	needsProcess(t)
	flips, given := 0, 0
	for round := range *flipRounds {
		chance := rand.New(rand.NewPCG(*flipSeed, uint64(round)))
		run := &flipRun{t: t, chance: chance, b: startBroker(t, t.TempDir(), "--segment-size", "64KiB", "--retain-bytes", "100MiB",
			"--checkpoint-every", []string{"20ms", "1h"}[chance.IntN(2)])}
		n, lost := run.round([]string{"log of a running broker", "log", "index"}[round%3])
		flips, given = flips+n, given+lost
		if t.Failed() {
			t.Fatalf("seed %d, round %d: %s", *flipSeed, round, strings.Join(run.done, "; "))
		}
	}
	t.Logf("flipped bytes: seed %d, %d rounds, %d bytes flipped, %d records hit and given up, served wrong or lost without a word: 0",
		*flipSeed, *flipRounds, flips, given)
}

type flipRun struct {
	t      *testing.T
	chance *rand.Rand
	b      *Broker
	done   []string // the flips
}

// round fills a log, flips bytes and reads; it returns how many were flipped and how many messages did not come.
func (r *flipRun) round(where string) (flips, lost int) {
	r.t.Helper()
	const sent = 40
	fillSegments(r.t, r.b, sent).close()
	flips = 1 + r.chance.IntN(4)
	r.done = append(r.done, where)
	text := ""
	if where != "log of a running broker" {
		if code := r.b.Stop(); code != 0 {
			r.t.Fatalf("exit code %d", code)
		}
	}
	files := segmentFiles(r.t, r.b.Dir)
	switch where {
	case "log of a running broker":
		files = files[:len(files)-1] // what is being written is not read back from the disk
		for _, path := range files {
			eventually(r.t, "a footer of "+path, func() bool { return endsInFooter(r.t, path) })
		}
	case "index":
		files = nil
		if err := filepath.WalkDir(filepath.Join(r.b.Dir, "index"), func(path string, entry fs.DirEntry, err error) error {
			if info, _ := entry.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
				files = append(files, path)
			}
			return err
		}); err != nil {
			r.t.Fatal(err)
		}
	}
	for range flips {
		r.flip(files[r.chance.IntN(len(files))])
	}
	if where != "log of a running broker" {
		r.b = startBroker(r.t, r.b.Dir)
	}
	came, _ := readWhole(r.t, r.b)
	text += r.b.stderr.String()
	lost = sent - len(came)
	switch {
	case lost > flips, lost > 0 && where == "index":
		r.t.Errorf("%d messages did not come, %d bytes were flipped in the %s", lost, flips, where)
	case lost > 0 && !strings.Contains(text, ".seg"):
		r.t.Errorf("%d messages did not come, and nothing was said:\n%s", lost, text)
	case lost > 0:
		if got := millrace(r.t, "log", "verify", "--data", r.b.Dir); got.code == 0 {
			r.t.Errorf("%d messages did not come, and log verify finds nothing", lost)
		}
	}
	if fault := processFault(text); fault != "" {
		r.t.Errorf("broker: %s", fault)
	}
	if code := r.b.Stop(); code != 0 {
		r.t.Errorf("exit code %d", code)
	}
	return flips, lost
}

// endsInFooter reports whether a segment has been sealed: until then zeros stand at its end.
func endsInFooter(t testing.TB, path string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(data) > 40 && len(bytes.Trim(data[len(data)-40:], "\x00")) > 0
}

// flip changes one byte of a file in place.
func (r *flipRun) flip(path string) {
	r.t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		r.t.Fatal(err)
	}
	at, b := r.chance.Int64N(info.Size()), make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		r.t.Fatal(err)
	}
	b[0] ^= byte(1 + r.chance.IntN(255))
	if _, err := file.WriteAt(b, at); err != nil {
		r.t.Fatal(err)
	}
	r.done = append(r.done, fmt.Sprintf("%s at %d", filepath.Base(path), at))
}
