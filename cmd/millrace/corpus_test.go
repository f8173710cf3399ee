package main_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var corpusAll = flag.Bool("corpus.all", false, "send all of the Go source tree through the broker, not a part of it")

// The example in docs/examples/corpus sends source files line by line; what
// comes out is byte for byte what went in.
func TestCorpusComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "--segment-size", "16MiB")
	example := filepath.Join(t.TempDir(), "corpus")
	build := exec.Command("go", "build", "-o", example, ".")
	build.Dir = filepath.Join("..", "..", "docs", "examples", "corpus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(strings.TrimSpace(string(root)), "src")
	copied := filepath.Join(t.TempDir(), "copy")
	args := []string{"--url", b.URL, "--tree", tree, "--out", copied}
	only := []string{"archive", "bufio", "bytes", "errors", "fmt", "go.mod", "make.bash", "sort", "strings"}
	if *corpusAll {
		only = nil
	} else {
		args = append(args, "--only", strings.Join(only, ","))
	}
	out, err := exec.Command(example, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("corpus: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	compareTrees(t, tree, copied, only)
}

// compareTrees reports the first files of the tree, or of those entries of
// it, that are not the same in the copy.
func compareTrees(t *testing.T, tree, copied string, only []string) {
	t.Helper()
	if only == nil {
		only = []string{"."}
	}
	files := 0
	for _, entry := range only {
		err := fs.WalkDir(os.DirFS(tree), entry, func(name string, found fs.DirEntry, err error) error {
			if err != nil || !found.Type().IsRegular() {
				return err
			}
			files++
			want, err := os.ReadFile(filepath.Join(tree, name))
			if err != nil {
				return err
			}
			got, err := os.ReadFile(filepath.Join(copied, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes in the copy, %d in the tree, %v", name, len(got), len(want), err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files compared", files)
	if files < 100 {
		t.Errorf("only %d files compared", files)
	}
}
