package main

import (
	"errors"
	"strings"
	"testing"
)

// A harness that cannot fail proves nothing.
func TestPartFailsUnlessItsTestsPassAndSayThatNothingWasLost(t *testing.T) {
	const said = "    x_test.go:1: crash: 3 rounds, 40 cut points, 5 faults, 600 looked for, 0 lost\n"
	for _, c := range []struct {
		name, text string
		err        error
		fault      string
		sum        sum
	}{
		{"all is well", said + "--- PASS: TestA (0.1s)\n    --- PASS: TestA/b (0s)\n", nil, "", sum{3, 40, 5, 600, 0}},
		{"two tests", said + said, nil, "", sum{6, 80, 10, 1200, 0}},
		{"lost", strings.Replace(said, "0 lost", "2 lost", 1), nil, "2 lost", sum{3, 40, 5, 600, 2}},
		{"failed", said + "--- FAIL: TestA (0.1s)\n", errors.New("exit status 1"), "1 tests failed", sum{3, 40, 5, 600, 0}},
		{"did not build", "x.go:1: syntax error\n", errors.New("exit status 2"), "exit status 2", sum{}},
		{"one skipped", said + "--- PASS: TestA (0.1s)\n--- SKIP: TestB (0s)\n", nil, "", sum{3, 40, 5, 600, 0}},
		{"all skipped", "--- SKIP: TestA (0s)\n    --- SKIP: TestB/b (0s)\n", nil, "all skipped", sum{}},
		{"nothing said", "--- PASS: TestA (0.1s)\n", nil, "no test said what it did", sum{}},
		{"nothing run", "testing: warning: no tests to run\nok\n", nil, "no test said what it did", sum{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := judge("part", c.text, c.err)
			if o.fault != c.fault || o.sum != c.sum {
				t.Errorf("got %q %+v, want %q %+v", o.fault, o.sum, c.fault, c.sum)
			}
			var out strings.Builder
			if well := report(&out, []outcome{o}); well != (c.fault == "") {
				t.Errorf("well: %v\n%s", well, &out)
			}
			if told := strings.Contains(out.String(), "skipped: Test"); told != strings.Contains(c.text, "SKIP") {
				t.Errorf("skipped tests told: %v\n%s", told, &out)
			}
		})
	}
	if report(&strings.Builder{}, nil) {
		t.Error("no part at all is well")
	}
}
