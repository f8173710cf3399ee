package tools_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/wal"
)

// log runs 'millrace log'.
func log(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e strings.Builder
	root := command.Root("test", tools.LogCommand(tools.Offline{}))
	code = command.Run(t.Context(), root, command.Streams{Out: &o, Err: &e}, append([]string{"log"}, args...))
	return code, o.String(), e.String()
}

// relocatedLog is a data folder whose first two segments have become an old-generation file.
func relocatedLog(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	l, err := wal.Open(wal.Config{Dir: filepath.Join(data, "log"), SegmentSize: 64 << 10})
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(l.Segments()) < 3; i++ {
		var b segment.Batch
		body := fmt.Sprintf(`{"order": %d, "what": %q}`, i, strings.Repeat("the same ", 50))
		b.BeginPublish(segment.PublishHead{Queues: []segment.QueueID{7}, Keys: []byte("\x00\x01q"), Header: amqp.AppendHeader(nil, uint64(len(body)), &amqp.Properties{}), BodySize: len(body)})
		b.AppendBody([]byte(body))
		b.EndPublish()
		if err := l.Append(&b, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	for !l.Segments()[1].Sealed {
		runtime.Gosched()
	}
	all := func(_ segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) { return queues, true }
	if _, err := l.Relocate(t.Context(), 1, l.Segments()[1].Last, all, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

// What relocation has compressed says how well: what its records take, what the file takes, and the ratio.
func TestVerifyShowsHowWellOldFilesAreCompressed(t *testing.T) {
	data := relocatedLog(t)
	code, out, errOut := log(t, "verify", "--data", data)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	line := regexp.MustCompile(`\.old: old generation, (\d+) of records 1 to (\d+), (\d+) bytes stored in (\d+), (\d+)\.\d : 1\n`)
	found := line.FindStringSubmatch(out)
	if found == nil || found[1] != found[2] {
		t.Fatalf("said\n%s", out)
	}
	raw, _ := strconv.Atoi(found[3])
	stored, _ := strconv.Atoi(found[4])
	if ratio, _ := strconv.Atoi(found[5]); ratio < 2 || ratio != raw/stored {
		t.Errorf("%d bytes stored in %d are said to be %d : 1", raw, stored, ratio)
	}
}

func TestListShowsFilesAndTheirRatio(t *testing.T) {
	data := relocatedLog(t)
	code, out, errOut := log(t, "ls", "--data", data)
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || len(strings.Fields(lines[1])) != 14 || !strings.Contains(lines[1], "  #7 ") || !strings.HasPrefix(strings.TrimSpace(lines[1]), "old ") ||
		!strings.HasPrefix(strings.TrimSpace(lines[2]), "sealed ") || !strings.HasPrefix(strings.TrimSpace(lines[3]), "files: 2") {
		t.Fatalf("said\n%s", out)
	}

	code, out, errOut = log(t, "ls", "--json", "--data", data)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	type line struct {
		Generation           string
		First, Last, Records int64
		Bytes                int64
		Raw                  int64 `json:"raw_bytes"`
		Ratio                float64
		From, To             time.Time
	}
	var files []line
	for text := range strings.Lines(out) {
		var f line
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("%s: %s", text, err)
		}
		files = append(files, f)
	}
	if len(files) != 2 {
		t.Fatalf("%d files:\n%s", len(files), out)
	}
	old, newer := files[0], files[1]
	if old.Generation != "old" || old.First != 1 || old.Records != old.Last || old.Ratio < 2 ||
		old.Ratio != float64(old.Raw)/float64(old.Bytes) || old.From.IsZero() || old.To.Before(old.From) {
		t.Errorf("%+v", old)
	}
	if newer.Generation != "sealed" || newer.First != old.Last+1 || newer.Records != newer.Last-newer.First+1 || newer.Ratio != 1 {
		t.Errorf("%+v", newer)
	}
}

func TestListNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no folder", []string{"ls", "--data", "/nowhere"}, 1, "no such file"},
		{"nothing to do", nil, 2, "say what to do"},
		{"unknown", []string{"lsx"}, 2, `unknown command "lsx", did you mean ls?`},
		{"no flag", []string{"verify", "--nope"}, 2, "unknown flag: --nope"},
	} {
		if code, _, errOut := log(t, c.args...); code != c.code || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: exit code %d, said %q", c.name, code, errOut)
		}
	}
}
