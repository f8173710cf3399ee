package main_test

import (
	"errors"
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
	flips, given, old := 0, 0, 0
	for round := range *flipRounds {
		chance := rand.New(rand.NewPCG(*flipSeed, uint64(round)))
		run := &flipRun{t: t, chance: chance, relocated: chance.IntN(2) == 0}
		kept := []string{"--retain-bytes", "100MiB", "--checkpoint-every", []string{"20ms", "1h"}[chance.IntN(2)]}
		if run.relocated {
			kept = []string{"--retain-bytes", "0", "--checkpoint-every", "10ms"}
		}
		run.b = startBroker(t, t.TempDir(), append(kept, "--segment-size", "64KiB")...)
		n, lost := run.round([]string{"log of a running broker", "log", "index"}[round%3])
		flips, given, old = flips+n, given+lost, old+run.old
		if t.Failed() {
			t.Fatalf("seed %d, round %d: %s", *flipSeed, round, strings.Join(run.done, "; "))
		}
	}
	t.Logf("flipped bytes: seed %d, %d rounds, %d bytes flipped, %d of them in old-generation files; %d records hit and given up",
		*flipSeed, *flipRounds, flips, old, given)
	t.Logf("crash: %d rounds, 0 cut points, %d faults, %d looked for, 0 lost", *flipRounds, flips, *flipRounds*flipSent)
}

// flipSent is how many messages each round looks for: none is served wrong, and none is missing without a word.
const flipSent = 40

type flipRun struct {
	t         *testing.T
	chance    *rand.Rand
	b         *Broker
	relocated bool     // some of the messages are in old-generation files
	old       int      // flips in them
	done      []string // the flips
}

// round fills a log, flips bytes and reads; it returns how many were flipped and how many messages did not come.
func (r *flipRun) round(where string) (flips, lost int) {
	r.t.Helper()
	r.fill()
	flips = 1 + r.chance.IntN(4)
	r.done = append(r.done, where)
	if where != "log of a running broker" {
		if code := r.b.Stop(); code != 0 {
			r.t.Fatalf("exit code %d", code)
		}
	}
	for range flips {
		r.flip(where)
	}
	if where != "log of a running broker" {
		r.b = r.start()
	}
	came, _ := readWhole(r.t, r.b)
	text := r.b.stderr.String()
	lost = flipSent - len(came)
	// A block of an old-generation file is compressed as a whole.
	const inBlock = flipSent
	switch {
	case lost > flips+r.old*inBlock, lost > 0 && where == "index":
		r.t.Errorf("%d messages did not come, %d bytes were flipped in the %s", lost, flips, where)
	case lost > 0 && !strings.Contains(text, ".seg") && !strings.Contains(text, ".old"):
		r.t.Errorf("%d messages did not come, and nothing was said:\n%s", lost, text)
	case lost > 0 && !r.relocated: // else the file may have been given back, now that nobody needs it
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

// start goes on after the flips. What says the same twice may have been hit twice, as header and footer of an
// old-generation file: then the broker asks before it goes on without it.
func (r *flipRun) start() *Broker {
	r.t.Helper()
	b, err := launchBroker(binaryPath(r.t), r.b.Dir)
	if err != nil {
		if r.old < 2 || !strings.Contains(b.stderr.String(), "--repair") {
			r.t.Fatal(err)
		}
		return startBroker(r.t, r.b.Dir, "--repair")
	}
	r.t.Cleanup(func() { b.finish(r.t) })
	return b
}

// fill stores messages, with others in between that are consumed at once where files are to be relocated.
func (r *flipRun) fill() {
	r.t.Helper()
	if !r.relocated {
		fillSegments(r.t, r.b, flipSent).close()
		return
	}
	c := fillSegments(r.t, r.b, flipSent/2)
	c.declare("passing", queueSpec{durable: true})
	for n := flipSent / 2; n < flipSent || len(oldFiles(r.t, r.b.Dir)) == 0; n++ {
		if n < flipSent {
			c.sendConfirmed("", "q", persistent(bodyOf(n)))
		}
		c.sendConfirmed("", "passing", persistent(strings.Repeat("p", 30_000)))
		if _, ok, err := c.Get("passing", true); err != nil || !ok {
			r.t.Fatalf("a message that passes: %v, %v", ok, err)
		}
	}
	c.close()
}

// files are those that bytes may be flipped in.
func (r *flipRun) files(where string) []string {
	r.t.Helper()
	if old := oldFiles(r.t, r.b.Dir); where != "index" && len(old) > 0 && r.chance.IntN(2) == 0 {
		return old
	}
	if where != "index" {
		return segmentFiles(r.t, r.b.Dir)
	}
	var files []string
	if err := filepath.WalkDir(filepath.Join(r.b.Dir, "index"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			files = append(files, path)
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return files
}

// flip changes one byte of a file in place.
func (r *flipRun) flip(where string) {
	r.t.Helper()
	var file *os.File
	for file == nil { // one may be gone by now that was there
		files := r.files(where)
		var err error
		file, err = os.OpenFile(files[r.chance.IntN(len(files))], os.O_RDWR, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
	}
	defer file.Close()
	path := file.Name()
	if strings.HasSuffix(path, ".old") {
		r.old++
	}
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
