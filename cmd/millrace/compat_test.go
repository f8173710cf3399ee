package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

var (
	compat    = flag.Bool("compat", false, "run the scenarios on Debian's RabbitMQ too, and tell what differs")
	compatRun = flag.String("compat.run", "", "only those that match, as go test -run knows it")
)

// scenarioPackages have scenarios that run on the broker of
// MILLRACE_TEST_URL: those of a stock client, and those frame by frame.
var scenarioPackages = []string{".", "../../server/internal/session"}

// TestScenariosOnRabbitMQ is `make compat`: what passes on Millrace, and does
// not on RabbitMQ, is a difference, and must be one that was meant.
func TestScenariosOnRabbitMQ(t *testing.T) {
	if !*compat {
		t.Skip("make compat runs it")
	}
	home := rabbitMQHome()
	if home == "" {
		t.Skip("rabbitmq-server is not installed; Debian has it")
	}
	r := startRabbitMQ(t, home)
	args := append([]string{"test", "-json", "-count", "1", "-timeout", "15m", "-run", *compatRun}, scenarioPackages...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_URL="+r.url, rabbitmqctl+"="+r.ctl)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	results := readResults(stdout)
	if results.passed == 0 {
		t.Fatalf("no scenario passed on RabbitMQ: %v\n%s", err, firstLine(stderr.Bytes()))
	}
	for _, name := range results.broken {
		t.Errorf("package %s did not end in good order on RabbitMQ", name)
	}
	compare(t, results)
	t.Logf("%s: %d scenarios are the same, %d differ, %d are not for it",
		path.Base(home), results.passed, len(results.failures), results.skipped)
	if t.Failed() {
		t.Logf("output of RabbitMQ:\n%s", &r.output)
	}
}

// compare tells each difference in a line, and fails the test for those that
// nobody meant and for those that are listed and are not there.
func compare(t *testing.T, results scenarioResults) {
	t.Helper()
	shown := make([]int, len(differences))
	for _, scenario := range slices.Sorted(maps.Keys(results.failures)) {
		i := slices.IndexFunc(differences, func(d difference) bool { return d.covers(scenario) })
		if i < 0 {
			t.Errorf("%s differs, and is not listed:\n%s", scenario, results.failures[scenario])
			continue
		}
		shown[i]++
		fmt.Fprintf(t.Output(), "differs: %s: %s: %s\n", scenario, differences[i].clause, differences[i].reason)
	}
	for i, d := range differences {
		if shown[i] == 0 && *compatRun == "" {
			t.Errorf("%s is listed as a difference (%s, %s), and is none", d.scenario, d.clause, d.reason)
		}
	}
}

// scenarioResults are those of `go test -json`.
type scenarioResults struct {
	passed, skipped int
	failures        map[string]string // by scenario: what it said
	broken          []string          // packages that failed without a test that did
}

// readResults counts scenarios, which are tests without subtests that tell
// something of their own.
func readResults(stream []byte) scenarioResults {
	type event struct{ Action, Package, Test, Output string }
	results := scenarioResults{failures: map[string]string{}}
	output := map[string]*strings.Builder{}
	scanner := bufio.NewScanner(bytes.NewReader(stream))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			continue
		}
		name := path.Base(e.Package) + "/" + e.Test
		switch e.Action {
		case "output":
			if output[name] == nil {
				output[name] = &strings.Builder{}
			}
			if !strings.HasPrefix(strings.TrimSpace(e.Output), "---") && !strings.HasPrefix(e.Output, "===") {
				output[name].WriteString(e.Output)
			}
		case "pass":
			if e.Test != "" {
				results.passed++
			}
		case "skip":
			results.skipped++
		case "fail":
			results.fail(name, e.Test == "", output[name])
		}
	}
	return results
}

// fail notes a failure, unless it is that of a subtest or test which is noted
// already: those inside are told first.
func (r *scenarioResults) fail(name string, whole bool, said *strings.Builder) {
	for inner := range r.failures {
		if strings.HasPrefix(inner, strings.TrimSuffix(name, "/")+"/") {
			return
		}
	}
	if whole {
		r.broken = append(r.broken, strings.TrimSuffix(name, "/"))
		return
	}
	r.failures[name] = ""
	if said != nil {
		r.failures[name] = strings.TrimRight(said.String(), "\n")
	}
}
