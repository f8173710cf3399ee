// Package millrace_test holds what ARCHITECTURE.md and CONTRIBUTING.md say about the whole repository:
// who may import whom, and the rules that a file can be checked for.
package millrace_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/millrace-mq/millrace"

// importTable says which of our packages each package may import, and, where the package is to know
// nothing of the outside, what of the standard library it may not. A package below one that is listed
// obeys the same row and may be imported by it. Tests are free.
var importTable = map[string]struct {
	ours      []string
	forbidden []string
}{
	"segment":                     {},
	"router":                      {forbidden: []string{"os", "net", "sync", "context"}},
	"server/amqp":                 {forbidden: []string{"os", "net", "sync", "context"}},
	"wal":                         {ours: []string{"segment"}, forbidden: []string{"net"}},
	"index":                       {ours: []string{"segment"}, forbidden: []string{"net", "time"}},
	"server/internal/queue":       {ours: []string{"index", "segment"}, forbidden: []string{"os", "net", "time", "sync", "context"}},
	"server/pattern":              {forbidden: []string{"os", "net", "sync", "context"}},
	"server/internal/policy":      {ours: []string{"router", "server/amqp", "server/pattern"}, forbidden: []string{"os", "net", "sync", "context"}},
	"server/internal/access":      {ours: []string{"server/amqp", "server/pattern"}, forbidden: []string{"os", "net", "context"}},
	"server/internal/definitions": {ours: []string{"server/internal/policy", "server/internal/access", "server/amqp"}, forbidden: []string{"os", "net", "time", "sync", "context"}},
	"server/internal/broker":      {ours: []string{"server/internal/queue", "server/internal/definitions", "server/internal/policy", "server/internal/access", "server/internal/alarm", "router", "index", "wal", "segment", "server/amqp"}, forbidden: []string{"net"}},
	"server/internal/alarm":       {forbidden: []string{"net", "context"}},
	"server/internal/session":     {ours: []string{"server/internal/broker", "server/internal/alarm", "server/internal/queue", "server/internal/access", "wal", "segment", "server/amqp"}, forbidden: []string{"os"}},
	"server/control":              {},
	"server":                      {ours: []string{"server/control", "server/internal/session", "server/internal/definitions", "server/internal/broker", "server/internal/access", "server/internal/alarm", "wal", "segment"}},
	"server/client":               {ours: []string{"server/amqp"}},
	"tools":                       {ours: []string{"server/control", "server/client", "tools/archive", "tools/republish", "wal", "index", "segment", "router", "server/amqp", "tools/history", "tools/selection", "tools/render", "tools/command", "tools/terminal"}},
	"tools/history":               {ours: []string{"segment", "router", "server/amqp", "server/pattern"}, forbidden: []string{"os", "net", "sync", "context"}},
	"tools/selection":             {ours: []string{"segment", "router", "server/amqp", "tools/history"}, forbidden: []string{"os", "net", "sync", "context"}},
	"tools/render":                {ours: []string{"segment", "server/amqp", "tools/history", "tools/terminal"}, forbidden: []string{"os", "net", "sync", "context"}},
	"tools/archive":               {ours: []string{"segment"}, forbidden: []string{"os", "net", "sync", "context"}},
	"tools/republish":             {ours: []string{"server/client", "server/amqp", "segment", "tools/archive"}},
	"tools/command":               {ours: []string{"tools/terminal"}},
	"tools/terminal":              {},
	"benchmarks":                  {ours: []string{"tools/command", "tools/terminal", "server/client", "server/amqp"}},
	"cmd/millrace":                {ours: []string{"server", "server/control", "tools", "tools/command", "benchmarks", "wal"}},
}

func TestPackagesImportOnlyWhatStandsBelowThem(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		own := tableRow(f.dir)
		row, ok := importTable[own]
		if !ok {
			t.Errorf("%s: package %s is not in the import table; give it a row there and in ARCHITECTURE.md", f.path, f.dir)
			continue
		}
		for _, imported := range f.syntax.Imports {
			name, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", f.path, err)
			}
			if slices.Contains(row.forbidden, name) {
				t.Errorf("%s imports %s, which %s must not know", f.path, name, own)
			}
			name, ours := strings.CutPrefix(name, module+"/")
			if !ours {
				continue
			}
			if target := tableRow(name); target != own && !slices.Contains(row.ours, target) {
				t.Errorf("%s imports %s; of ours %s may import only %q", f.path, name, own, row.ours)
			}
		}
	}
}

// tableRow finds the row of a package: its own or that of the nearest package above it, but internal
// packages have their own.
func tableRow(dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := importTable[d]; ok {
			return d
		}
		if path.Base(path.Dir(d)) == "internal" {
			break
		}
	}
	return dir
}

func TestEveryPackageTellsAboutItself(t *testing.T) {
	type state struct{ command, documented bool }
	packages := map[string]state{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		s := packages[f.dir]
		s.command = f.syntax.Name.Name == "main"
		inPlace := s.command || path.Base(f.path) == "doc.go"
		s.documented = s.documented || inPlace && f.syntax.Doc != nil
		packages[f.dir] = s
	}
	for dir, s := range packages {
		if !s.documented && s.command {
			t.Errorf("command %s has no package comment", dir)
		} else if !s.documented {
			t.Errorf("package %s has no doc.go with a package comment", dir)
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	const most = 600
	for _, f := range goFiles(t) {
		if lines := bytes.Count(f.text, []byte("\n")); !f.test && lines > most {
			t.Errorf("%s has %d lines; cut it by noun, %d is the most", f.path, lines, most)
		}
	}
}

// A test that sleeps is slow when it works and fails when the machine is busy. Inside of a synctest
// bubble time is fake, and a sleep costs nothing.
func TestNoTestSleeps(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.test {
			continue
		}
		fake := bubbles(f.syntax)
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isCall(call, "time", "Sleep") {
				return true
			}
			if !slices.ContainsFunc(fake, func(b ast.Node) bool { return b.Pos() <= call.Pos() && call.End() <= b.End() }) {
				t.Errorf("%s sleeps; wait for the event, or use testing/synctest", f.fset.Position(call.Pos()))
			}
			return true
		})
	}
}

// bubbles returns the calls of synctest.Test, and of functions of the file that make one.
func bubbles(file *ast.File) []ast.Node {
	fake := calls(file, func(call *ast.CallExpr) bool { return isCall(call, "synctest", "Test") })
	for _, declaration := range file.Decls {
		opener, ok := declaration.(*ast.FuncDecl)
		if !ok || opener.Recv != nil || !slices.ContainsFunc(fake, func(c ast.Node) bool {
			return opener.Pos() <= c.Pos() && c.End() <= opener.End()
		}) {
			continue
		}
		fake = append(fake, calls(file, func(call *ast.CallExpr) bool {
			name, ok := call.Fun.(*ast.Ident)
			return ok && name.Name == opener.Name.Name
		})...)
	}
	return fake
}

// calls returns the calls in a file that are wanted.
func calls(file *ast.File, wanted func(*ast.CallExpr) bool) (found []ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && wanted(call) {
			found = append(found, call)
		}
		return true
	})
	return found
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func TestNothingNamesAFolderBesideTheRepository(t *testing.T) {
	beside := []byte("../" + "shared")
	for _, name := range files(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, beside) {
			t.Errorf("%s mentions %s, which is not part of the repository", name, beside)
		}
	}
}

// The code names the clause that a line obeys; docs/compatibility.md is where a clause is explained.
func TestEveryClauseCitedIsExplained(t *testing.T) {
	const page = "docs/compatibility.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	clause := regexp.MustCompile(`\b(WIRE|HDR|ERR|CONN|CHAN|EXCH|ROUTE|TOPIC|HEADERS|CC|AE|QUEUE|QARG|PUB|CONF|TX|QOS|CONS|ACK|REPLY|FLOW|TTL|DLX|LEN|PRIO|SAC|QQ|STR|POL|AUTH|ORD|DUR)-[0-9]{2}\b`)
	explained := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		// A line of a table that begins with a clause explains it.
		if id := clause.FindString(line); id != "" && strings.HasPrefix(line, "| "+id) {
			explained[id] = true
		}
	}
	for _, f := range goFiles(t) {
		for _, id := range clause.FindAllString(string(f.text), -1) {
			if !explained[id] {
				t.Errorf("%s cites %s, which %s does not explain", f.path, id, page)
				explained[id] = true // once is enough
			}
		}
	}
}

func TestReadmeNamesEveryFlagOfServe(t *testing.T) {
	source, err := os.ReadFile("cmd/millrace/serve_flags.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`flags\.\w+\((?:[^"]+, )?"([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(flags) == 0 {
		t.Fatal("no flag found: this test looks for the wrong thing")
	}
	for _, flag := range flags {
		if row := "| `--" + string(flag[1]) + "` |"; !bytes.Contains(readme, []byte(row)) {
			t.Errorf("README.md has no row %q in its table of flags", row)
		}
	}
}

// goFile is one file of ours. path and dir are relative to the repository, with slashes.
type goFile struct {
	path, dir string
	test      bool
	text      []byte
	syntax    *ast.File
	fset      *token.FileSet
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var found []goFile
	for _, name := range files(t) {
		dir := path.Dir(name)
		if path.Ext(name) != ".go" || dir == "." { // this file holds strings that it looks for
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, goFile{name, dir, strings.HasSuffix(name, "_test.go"), text, syntax, fset})
	}
	if len(found) == 0 {
		t.Fatal("no Go file found: the test does not run in the root of the repository")
	}
	return found
}

// files lists the repository's files: not what tools and brokers leave behind, not other modules.
func files(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // something temporary
			return nil
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if entry.Type().IsRegular() {
				names = append(names, filepath.ToSlash(name))
			}
			return nil
		}
		switch entry.Name() {
		case ".git", "bin", "millrace-data", "testdata", "node_modules":
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
