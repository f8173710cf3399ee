package main_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	crashRounds = flag.Int("crash.rounds", 6, "rounds of the crash test")
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of the crash test; 0 takes the clock's")
)

// TestNoConfirmedMessageIsLostInCrashes runs publishers and consumers
// against the binary, kills it in the middle of their work, damages what a
// crash of the machine might have left unwritten, and holds what comes after
// the restart against the ledger; over and over on one data folder.
func TestNoConfirmedMessageIsLostInCrashes(t *testing.T) {
	needsProcess(t)
	binaryPath(t) // built now, so that no restart is charged with it
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	run := &crashRun{
		t: t, dir: t.TempDir(), ledger: newLedger(), random: rand.New(rand.NewPCG(seed, 0)), injected: map[string]int{},
	}
	defer func() { run.keep(); run.report(seed) }()
	for range *crashRounds {
		run.round()
		if t.Failed() {
			return
		}
	}
	run.finalRound()
}

// crashRun is the crash test's state over all rounds.
type crashRun struct {
	t        *testing.T
	dir      string
	ledger   *ledger
	random   *rand.Rand
	rounds   int
	injected map[string]int // faults by name
	slowest  time.Duration  // of the restarts
	history  []string       // what each round did, for the report of a failure

	checkpointing bool // the round's broker writes checkpoints while it runs
	damaged       bool // what we did to the log is in it still, perhaps
}

// round restarts the broker, drains it or not, puts load on it, and ends it
// in one of the ways that the ledger's rules allow for.
func (r *crashRun) round() {
	r.t.Helper()
	r.rounds++
	flags := r.chooseFlags()
	r.note(flags...)
	b := r.start(flags...)
	if r.rounds == 1 {
		if err := declareCrashQueues(b.URL); err != nil {
			r.t.Fatal(err)
		}
	} else if r.random.IntN(10) < 6 {
		r.drain(b)
	}
	load := startLoad(b.URL, r.ledger, 1+r.random.IntN(3000), r.random)
	limit := time.NewTimer(time.Duration(100+r.random.IntN(900)) * time.Millisecond)
	defer limit.Stop()
	select {
	case <-load.enough:
	case <-limit.C:
	}
	r.end(b, load)
	r.check(b)
	if !r.damaged {
		b.verifyLog(r.t)
	}
}

func (r *crashRun) chooseFlags() []string {
	pick := func(values ...string) string { return values[r.random.IntN(len(values))] }
	interval := pick("20ms", "200ms", "2s", never)
	r.checkpointing = interval != never
	return []string{
		"--sync", pick("disk", "disk", "os"), "--segment-size", pick("64KiB", "256KiB", "1MiB", "4MiB"),
		"--checkpoint-every", interval, "--retain-bytes", pick("0", "0", "4MiB"), "--log-level", "info",
	}
}

// never is longer than any round.
const never = "1h"

func (r *crashRun) start(flags ...string) *Broker {
	r.t.Helper()
	r.ledger.begin()
	begin := time.Now()
	b, err := launchBroker(binaryPath(r.t), r.dir, flags...)
	if err != nil {
		r.t.Fatalf("round %d: %v", r.rounds, err)
	}
	r.t.Cleanup(b.Kill) // nothing to do, unless the round broke off
	r.slowest = max(r.slowest, time.Since(begin))
	return b
}

func (r *crashRun) drain(b *Broker) {
	r.t.Helper()
	r.note("drain")
	if err := drain(b.URL, r.ledger); err != nil {
		r.t.Errorf("round %d: %v", r.rounds, err)
	}
}

// end stops or kills the broker, then spoils what may be spoilt.
func (r *crashRun) end(b *Broker, load *crashLoad) {
	r.t.Helper()
	deleteIndex := r.random.IntN(4) == 0
	switch ending := r.random.IntN(10); {
	case ending == 0:
		r.inject("clean stop")
		load.stop()
		if code := b.Stop(); code != 0 {
			r.t.Errorf("round %d: clean stop: exit code %d", r.rounds, code)
		}
		r.ledger.stoppedCleanly()
	case ending == 1:
		r.inject("stop under load")
		load.dying.Store(true)
		if code := b.Stop(); code != 0 {
			r.t.Errorf("round %d: stop under load: exit code %d", r.rounds, code)
		}
		load.clients.Wait()
	default:
		r.inject("kill")
		load.dying.Store(true)
		b.Kill()
		load.clients.Wait()
		if damage := r.random.IntN(6); damage < len(tailDamages) {
			// What a checkpoint tells of was synced. Damage there is nothing that
			// a crash can do, and the broker refuses it unless the index goes too.
			deleteIndex = deleteIndex || r.checkpointing
			r.inject("log tail " + tailDamages[damage].name)
			r.damaged = true
			if err := damageTail(r.dir, r.ledger.lastConfirmed(), tailDamages[damage], r.random); err != nil {
				r.t.Fatal(err)
			}
			r.ledger.flagsLost()
		}
	}
	if deleteIndex {
		r.inject("index deleted")
		if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *crashRun) inject(fault string) {
	r.injected[fault]++
	r.note(fault)
}

func (r *crashRun) note(words ...string) {
	r.history = append(r.history, fmt.Sprint("round ", r.rounds, ": ", strings.Join(words, " ")))
}

// finalRound drains what is left, and once more after a clean stop.
func (r *crashRun) finalRound() {
	r.t.Helper()
	for range 2 {
		b := r.start()
		r.drain(b)
		if code := b.Stop(); code != 0 {
			r.t.Errorf("clean stop: exit code %d", code)
		}
		r.ledger.stoppedCleanly()
		r.check(b)
	}
}

// check fails the test on the first round that broke a rule.
func (r *crashRun) check(b *Broker) {
	r.t.Helper()
	if _, faults := r.ledger.result(); len(faults) > 0 {
		for _, fault := range faults[:min(len(faults), 20)] {
			r.t.Error(fault)
		}
		r.t.Errorf("%d broken rules after\n%s", len(faults), strings.Join(r.history[max(0, len(r.history)-12):], "\n"))
	}
	if fault := processFault(b.stderr.String()); fault != "" {
		r.t.Errorf("round %d: broker: %s", r.rounds, fault)
	}
	if r.t.Failed() {
		r.t.Logf("stderr of the last broker:\n%s", &b.stderr)
	}
}

// keep copies the data folder of a test that failed to where the environment says.
func (r *crashRun) keep() {
	if kept := os.Getenv("MILLRACE_TEST_KEEP"); kept != "" && r.t.Failed() {
		_ = os.Remove(filepath.Join(r.dir, "control.sock")) // which cannot be copied
		r.t.Logf("data folder kept as %s: %v", kept, os.CopyFS(kept, os.DirFS(r.dir)))
		r.t.Log(strings.Join(r.history[max(0, len(r.history)-24):], "\n"))
	}
}

func (r *crashRun) report(seed uint64) {
	sums, _ := r.ledger.result()
	text := fmt.Sprintf("crash test: seed %d, %d rounds, slowest restart %v\nfaults injected:", seed, r.rounds, r.slowest.Round(time.Millisecond))
	for _, name := range []string{
		"kill", "stop under load", "clean stop", "index deleted", "log tail cut", "log tail zeroed", "log tail flipped",
	} {
		text += fmt.Sprintf(" %s %d;", name, r.injected[name])
	}
	text += fmt.Sprintf("\nmessages: published %d, confirmed %d, delivered %d, duplicates %d (%d of them after an unsafe ack)\nLOST: %d",
		sums.published, sums.confirmed, sums.delivered, sums.duplicates, sums.resurrected, sums.lost)
	r.t.Log(text)
	faults := 0
	for name, n := range r.injected {
		if name != "clean stop" {
			faults += n
		}
	}
	r.t.Logf("crash: %d rounds, 0 cut points, %d faults, %d looked for, %d lost", r.rounds, faults, sums.confirmed, sums.lost)
}
