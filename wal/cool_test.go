package wal

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

func TestWhatWasReadLeavesMemory(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir, SegmentSize: 1 << 20})
	body := make([]byte, 1024)
	var batch segment.Batch
	for len(l.list()) < 4 {
		fillBatch(&batch, 64, 1024, body)
		if err := l.Append(&batch, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openOnly(t, Config{Dir: dir}) // no cooler but us
	read := func() {
		t.Helper()
		v := l.NewView()
		defer v.Release()
		for lsn := l.First(); lsn <= l.Last(); lsn++ {
			if _, err := v.Record(lsn); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	if resident := residentBelow(t, dir); resident < 2<<20 {
		t.Fatalf("%d bytes are resident after all was read", resident)
	}
	held := l.NewView()
	record, err := held.Record(l.First())
	if err != nil {
		t.Fatal(err)
	}
	l.coolOnce()
	if resident := residentBelow(t, dir); resident != 0 {
		t.Fatalf("%d bytes are resident after cooling", resident)
	}
	if !record.Valid() {
		t.Fatal("a record that is held was changed by cooling")
	}
	held.Release()
	read()
	l.coolOnce()
	if resident := residentBelow(t, dir); resident != 0 {
		t.Fatalf("%d bytes are resident after cooling again", resident)
	}
}

// residentBelow is how much of the files below a folder is mapped and in this process's memory.
func residentBelow(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	ours := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		switch fields := strings.Fields(lines.Text()); {
		case !strings.HasSuffix(fields[0], ":"): // address, permissions, offset, device, inode, path
			ours = strings.HasPrefix(fields[len(fields)-1], dir)
		case ours && fields[0] == "Rss:":
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			bytes += kib << 10
		}
	}
	return bytes
}
