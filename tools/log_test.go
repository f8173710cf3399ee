package tools_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools"
	"github.com/millrace-mq/millrace/wal"
)

// What relocation has compressed says how well: what its records take, what the file takes, and the ratio.
func TestVerifyShowsHowWellOldFilesAreCompressed(t *testing.T) {
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
		b.BeginPublish(segment.PublishHead{Queues: []segment.QueueID{7}, Keys: []byte("\x00\x01q"), Header: []byte("h"), BodySize: len(body)})
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

	var out, errOut strings.Builder
	if code := tools.Log(t.Context(), []string{"verify", "--data", data}, nil, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	line := regexp.MustCompile(`\.old: old generation, (\d+) of records 1 to (\d+), (\d+) bytes stored in (\d+), (\d+)\.\d : 1\n`)
	found := line.FindStringSubmatch(out.String())
	if found == nil || found[1] != found[2] {
		t.Fatalf("said\n%s", out.String())
	}
	raw, _ := strconv.Atoi(found[3])
	stored, _ := strconv.Atoi(found[4])
	if ratio, _ := strconv.Atoi(found[5]); ratio < 2 || ratio != raw/stored {
		t.Errorf("%d bytes stored in %d are said to be %d : 1", raw, stored, ratio)
	}
}
