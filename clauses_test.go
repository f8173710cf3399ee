package millrace_test

import (
	"os"
	"regexp"
	"testing"
)

// What docs/compatibility.md calls held, a test names: otherwise nobody would notice that it no longer is.
func TestEveryClauseThatIsHeldIsTested(t *testing.T) {
	const page = "docs/compatibility.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	cited := map[string]bool{}
	clause := regexp.MustCompile(`\b[A-Z]+-[0-9]{2}\b`)
	for _, f := range goFiles(t) {
		if f.test && f.path != "cmd/millrace/differences_test.go" { // which tells what is not held
			for _, id := range clause.FindAllString(string(f.text), -1) {
				cited[id] = true
			}
		}
	}
	held := regexp.MustCompile(`(?m)^\| ([A-Z]+-[0-9]{2}) \|.*\| yes[^|]*\|$`).FindAllStringSubmatch(string(text), -1)
	if len(held) == 0 {
		t.Fatalf("%s holds nothing: this test looks for the wrong thing", page)
	}
	for _, row := range held {
		if !cited[row[1]] {
			t.Errorf("%s says that %s is held, and no test names it", page, row[1])
		}
	}
}
