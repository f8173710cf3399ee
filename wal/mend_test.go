package wal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

func mend(t *testing.T, dir, aside string, did func(Mended) error) error {
	t.Helper()
	return Mend(t.Context(), dir, aside, slog.New(slog.DiscardHandler), did)
}

// severalSegments is a log of a few sealed segments, and what it holds.
func severalSegments(t *testing.T) (dir string, want []string) {
	t.Helper()
	l := openLog(t, Config{Dir: t.TempDir()})
	want = rotated(t, l, 5)
	closeLog(t, l)
	return l.cfg.Dir, want
}

// without are bodies but those that stand in records of a range.
func without(want []string, from, to segment.LSN) []string {
	return slices.Delete(slices.Clone(want), int(from)-1, int(to))
}

// baseOf is the number that a segment's name begins with.
func baseOf(path string) segment.LSN { return parseName(filepath.Base(path)).base }

// Whatever is damaged, what is left is sound and complete but for what is told to be lost, and the damaged file is kept.
func TestMendReplacesWhatIsDamaged(t *testing.T) {
	const which = 2 // segment, in the midst
	for name, row := range map[string]struct {
		harm func(t *testing.T, paths []string)
		lost func(paths []string) (from, to segment.LSN) // from = 0: nothing
		gone bool                                        // the file is
		tell int                                         // lost, as told
	}{
		"a record": {
			harm: func(t *testing.T, paths []string) {
				edit(t, paths[which], func(data []byte) []byte {
					offsets, _ := batches(t, data)
					return flip(offsets[3] + segment.BatchHeaderSize + segment.RecordHeaderSize + 100)(data)
				})
			},
			lost: func(paths []string) (from, to segment.LSN) { return baseOf(paths[which]) + 3, baseOf(paths[which]) + 3 },
			tell: 1,
		},
		"the header": {
			harm: func(t *testing.T, paths []string) { edit(t, paths[which], flip(3)) },
		},
		"the footer's tables": {
			harm: func(t *testing.T, paths []string) {
				edit(t, paths[which], func(data []byte) []byte { return flip(len(data) - segment.TrailerSize - 16)(data) })
			},
		},
		"all of it": {
			harm: func(t *testing.T, paths []string) {
				edit(t, paths[which], func(data []byte) []byte { return bytes.Repeat([]byte{7}, len(data)) })
			},
			lost: func(paths []string) (from, to segment.LSN) { return baseOf(paths[which]), baseOf(paths[which+1]) - 1 },
			tell: -1,
		},
		"a file that is gone": {
			harm: func(t *testing.T, paths []string) {
				if err := os.Remove(paths[which]); err != nil {
					t.Fatal(err)
				}
			},
			lost: func(paths []string) (from, to segment.LSN) { return baseOf(paths[which]), baseOf(paths[which+1]) - 1 },
			gone: true, tell: -1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := severalSegments(t)
			paths := segmentPaths(t, dir)
			row.harm(t, paths)
			if report, err := Verify(dir); err != nil || len(report.Faults) == 0 {
				t.Fatalf("no fault: %v", err)
			}
			if row.lost != nil {
				from, to := row.lost(paths)
				want = without(want, from, to)
			}
			harmed, _ := os.ReadFile(paths[which])
			aside := filepath.Join(t.TempDir(), "aside")
			var did []Mended
			if err := mend(t, dir, aside, func(m Mended) error { did = append(did, m); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(did) != 1 || did[0].Lost != row.tell || (did[0].Path == "") != row.gone {
				t.Errorf("done: %+v", did)
			}
			if !row.gone {
				if kept, err := os.ReadFile(did[0].Aside); err != nil || !bytes.Equal(kept, harmed) {
					t.Errorf("what was damaged is not kept: %v", err)
				}
			}
			verify(t, dir)
			if err := mend(t, dir, aside, func(m Mended) error { t.Errorf("again: %+v", m); return nil }); err != nil {
				t.Error(err)
			}
			goOn(t, dir, want)
			verify(t, dir)
		})
	}
}

var errInterrupted = errors.New("interrupted")

// Each file is a step of its own. After any of them, and with a file that has been replaced but not removed yet, the
// log can be opened and be mended again, and comes to the same.
func TestMendThatIsInterruptedCanBeDoneAgain(t *testing.T) {
	for stop := range 4 {
		dir, want := severalSegments(t)
		paths := segmentPaths(t, dir)
		for _, which := range []int{3, 1} {
			edit(t, paths[which], func(data []byte) []byte {
				offsets, _ := batches(t, data)
				return flip(offsets[2] + segment.BatchHeaderSize + segment.RecordHeaderSize + 100)(data)
			})
			lost := baseOf(paths[which]) + 2
			want = without(want, lost, lost)
		}
		damaged, err := os.ReadFile(paths[1])
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if stop == 0 {
			cancel()
		}
		done := 0
		err = Mend(ctx, dir, filepath.Join(t.TempDir(), "first"), slog.New(slog.DiscardHandler), func(Mended) error {
			if done++; done == stop {
				return errInterrupted
			}
			return nil
		})
		if want := stop < 3; (err != nil) != want {
			t.Fatalf("stopped after %d: %v", stop, err)
		}
		if stop > 0 { // power was cut before the directory forgot the first name
			if err := os.WriteFile(paths[1], damaged, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if err := mend(t, dir, filepath.Join(t.TempDir(), "second"), func(Mended) error { return nil }); err != nil {
			t.Fatal(err)
		}
		verify(t, dir)
		goOn(t, dir, want)
		if _, err := os.Stat(paths[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the replaced file is still there: %v", err)
		}
	}
}

func TestMendOfAnOldFileKeepsItsSoundBlocks(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	want := rotated(t, l, 3)
	awaitSealed(t, l, 2)
	all := func(_ segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) { return queues, true }
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	to := l.Segments()[1].Last
	if _, err := l.Relocate(t.Context(), 1, to, all, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	path := filepath.Join(l.cfg.Dir, oldName(1, to))
	edit(t, path, flip(segment.HeaderSize+2000))
	kept := 0
	if err := mend(t, l.cfg.Dir, filepath.Join(t.TempDir(), "aside"), func(m Mended) error {
		kept = m.Kept
		if m.Path != path || m.Instead != path || m.Lost == 0 || m.Lost+m.Kept != int(to) {
			t.Errorf("done: %+v", m)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	verify(t, l.cfg.Dir)
	again := openOnly(t, Config{Dir: l.cfg.Dir})
	got := bodies(t, again)
	if len(got) != kept+len(want)-int(to) || strings.Join(got, "") == "" {
		t.Errorf("%d bodies, %d kept", len(got), kept)
	}
	for _, body := range got {
		if !slices.Contains(want, body) {
			t.Errorf("%.20q is new", body)
		}
	}
}

func TestMendLeavesASoundLogAndOneInUseAlone(t *testing.T) {
	dir, _ := severalSegments(t)
	before := contents(t, dir)
	never := func(m Mended) error { t.Errorf("done: %+v", m); return nil }
	if err := mend(t, dir, filepath.Join(dir, "aside"), never); err != nil {
		t.Error(err)
	}
	for name, data := range contents(t, dir) {
		if before[name] != data {
			t.Errorf("%s has changed", name)
		}
	}
	edit(t, segmentPaths(t, dir)[1], flip(5000))
	l := openOnly(t, Config{Dir: dir})
	if err := mend(t, dir, filepath.Join(dir, "aside"), never); err == nil {
		t.Error("mended beside an open log")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
