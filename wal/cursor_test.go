package wal

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// passed reads the log to its end from a record on, and returns what the cursor gave and passed over.
func passed(t *testing.T, l *Log, from segment.LSN) (numbers []segment.LSN, skipped int) {
	t.Helper()
	return passedBy(t, l.Cursor(from))
}

func passedBy(t *testing.T, c *Cursor) (numbers []segment.LSN, skipped int) {
	t.Helper()
	defer c.Close()
	for c.Next() {
		numbers = append(numbers, c.LSN())
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return numbers, c.Skipped()
}

// What an old-generation file has lost is a range of numbers, of which nobody knows how many had records.
func TestCursorCountsOnceWhatAnOldFileHasLost(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	rotated(t, l, 2)
	relocate(t, l, 0, 0, every(2))
	old := l.Segments()[0]
	var block segment.OldBlock // not the first
	footer := l.list()[0].old.tables.Load().footer
	for i := 1; i < footer.Records() && block.Offset == 0; i++ {
		if at := footer.Record(i); at.Block != footer.Record(0).Block {
			block = footer.Block(at.Block)
		}
	}
	if block.Offset == 0 {
		t.Fatal("the file has one block")
	}
	closeLog(t, l)
	ruinTables(t, old.Path)
	edit(t, old.Path, flip(int(block.Offset)+block.Compressed/2))
	l = openOnly(t, Config{Dir: l.cfg.Dir, SegmentSize: 1 << 20})
	numbers, skipped := passed(t, l, 0)
	i := slices.IndexFunc(numbers, func(lsn segment.LSN) bool { return lsn >= block.First })
	lost := segment.Range{From: numbers[i-1] + 1, To: numbers[i] - 1}
	if lost.To-lost.From < 4 || skipped != 1 {
		t.Errorf("%d passed over, with records %d to %d missing", skipped, lost.From, lost.To)
	}
	for from, want := range map[segment.LSN]int{lost.From: 1, lost.From + 3: 1, lost.To: 1, lost.To + 1: 0} {
		if _, skipped := passed(t, l, from); skipped != want {
			t.Errorf("%d passed over from record %d on, %d to %d are lost", skipped, from, lost.From, lost.To)
		}
	}
}

// The numbers of an old-generation file are as many as there ever were records: no step, and no line, for each.
func TestCursorPassesOverAWholeFileAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(path string) error
	}{
		{"that cannot be read", func(path string) error { return os.Truncate(path, segment.HeaderSize) }},
		{"that is missing", os.Remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _, _, all := relocatedLog(t)
			logger, said := remembered()
			l := openOnly(t, Config{Dir: dir, Repair: true, Logger: logger})
			infos := l.Segments()
			lost := infos[0]
			if strings.Contains(c.name, "missing") {
				l.Close()
				lost = infos[1]
			}
			if err := c.harm(lost.Path); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(c.name, "missing") {
				l = openOnly(t, Config{Dir: dir, Repair: true, Logger: logger})
			}
			numbers, skipped := passed(t, l, 0)
			if n := slices.IndexFunc(numbers, func(lsn segment.LSN) bool { return lsn > lost.Last }); skipped != 1 || n < 0 ||
				numbers[n] != lost.Last+1 || numbers[len(numbers)-1] != segment.LSN(len(all)) {
				t.Errorf("%d passed over, lost %d to %d, read %v", skipped, lost.Base, lost.Last, numbers)
			}
			if span := fmt.Sprintf("from=%d to=%d", lost.Base, lost.Last); strings.Count(said(), "passed over") != 1 || !strings.Contains(said(), span) {
				t.Errorf("said\n%s", said())
			}
		})
	}
}
