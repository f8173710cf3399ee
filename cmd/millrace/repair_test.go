package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Damage in many places of several files costs the records that it hits and no other: what is told to be lost is what is
// missing, and the broker goes on with the rest. What was damaged is kept.
func TestRepairLosesWhatWasDamagedAndNothingElse(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	for name, end := range map[string]func(b *Broker){
		"stopped": func(b *Broker) { b.Stop() }, "killed": func(b *Broker) { b.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, t.TempDir())
			c := b.connect(t)
			c.declare("q", queueSpec{durable: true})
			c.declare("other", queueSpec{durable: true})
			c.confirmMode()
			text := func(n int) string { return fmt.Sprintf("<%05d>%s", n, strings.Repeat("r", 9000)) }
			const n = 400 // some four segments
			for i := range n {
				queue := "q"
				if i%4 == 3 {
					queue = "other"
				}
				c.sendConfirmed("", queue, persistent(text(i)))
			}
			end(b)

			damaged := map[string]bool{}
			for _, path := range segments(t, b.Dir) {
				editFile(t, path, func(data []byte) {
					for _, i := range []int{13, 20, 111, 150, 222, 333} {
						if at := strings.Index(string(data), fmt.Sprintf("<%05d>", i)); at > 0 {
							data[at+500] ^= 1
							damaged[fmt.Sprintf("<%05d>", i)] = true
						}
					}
				})
			}
			if len(damaged) != 6 {
				t.Fatalf("damaged %v", damaged)
			}
			got := millrace(t, "log", "verify", "--data", b.Dir, "--repair")
			if got.code != 0 || !strings.HasSuffix(got.stdout, " 0 faults\n") {
				t.Fatalf("%+v", got)
			}
			lost := 0
			for _, line := range regexp.MustCompile(`written anew as .* records kept, (\d+) lost; the damaged one is (.*)\n`).FindAllStringSubmatch(got.stdout, -1) {
				n, _ := strconv.Atoi(line[1])
				lost += n
				if info, err := os.Stat(line[2]); err != nil || info.Size() == 0 {
					t.Errorf("%s is not kept: %v", line[2], err)
				}
			}
			if lost != len(damaged) {
				t.Errorf("%d records are said to be lost, %d were damaged:\n%s", lost, len(damaged), got.stdout)
			}
			if reports, err := filepath.Glob(filepath.Join(b.Dir, "quarantine-*", "report.txt")); err != nil || len(reports) != 1 {
				t.Errorf("reports %v: %v", reports, err)
			}
			if again := millrace(t, "log", "verify", "--data", b.Dir); again.code != 0 {
				t.Errorf("after the repair: %+v", again)
			}

			c = startBroker(t, b.Dir).connect(t)
			var all []string
			for i := range n {
				if !damaged[fmt.Sprintf("<%05d>", i)] && i%4 != 3 {
					all = append(all, text(i))
				}
			}
			c.wantReady("q", len(all))
			c.wantBodies("q", all...)
		})
	}
}

// segments lists the segments of a data folder.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "log", "0*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
