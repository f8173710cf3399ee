package alarm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is what a Watch sees in a test.
type world struct {
	mu                  sync.Mutex
	held, garbage, free uint64
	err                 error
	collections         int
}

func (w *world) sources() Sources {
	return Sources{
		Held: func() (held uint64) {
			w.change(func() { held = w.held + w.garbage })
			return held
		},
		Collect: func() { w.change(func() { w.garbage = 0; w.collections++ }) },
		Free: func(string) (free uint64, err error) {
			w.change(func() { free, err = w.free, w.err })
			return free, err
		},
	}
}

func (w *world) change(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// watched runs a test in fake time, with a Watch of 100 bytes of memory and 50 of disk that looks every second.
func watched(t *testing.T, w *world, test func(watch *Watch)) {
	synctest.Test(t, func(t *testing.T) {
		watch := New(Config{Memory: Limit{Bytes: 100}, DiskFree: 50, Sources: w.sources()})
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			watch.Run(stop, nil)
		}()
		time.Sleep(time.Millisecond) // between the looks
		test(watch)
		close(stop)
		<-done
	})
}

func wantActive(t *testing.T, w *Watch, want Set) {
	t.Helper()
	if got := w.Active(); got != want {
		t.Errorf("alarms %q, want %q", got, want)
	}
}

func TestAlarmsFollowWhatTheLookFinds(t *testing.T) { // FLOW-02
	w := &world{held: 100, free: 50}
	watched(t, w, func(watch *Watch) {
		for _, step := range []struct {
			held, free uint64
			want       string
		}{
			{100, 50, ""},
			{101, 50, "low on memory"},
			{101, 49, "low on memory & disk"},
			{100, 49, "low on disk"},
			{0, 1000, ""},
		} {
			before, changed := watch.Look()
			w.change(func() { w.held, w.free = step.held, step.free })
			time.Sleep(time.Second)
			if got := watch.Active().String(); got != step.want {
				t.Errorf("%d bytes held, %d free: %q, want %q", step.held, step.free, got, step.want)
			}
			select {
			case <-changed:
			default:
				if watch.Active() != before {
					t.Errorf("nobody is told of %q", step.want)
				}
			}
		}
	})
}

func TestGarbageIsCollectedBeforeMemoryCountsAsLow(t *testing.T) {
	w := &world{held: 60, free: 50, garbage: 60}
	watched(t, w, func(watch *Watch) {
		wantActive(t, watch, 0)
		w.change(func() { w.held, w.garbage = 120, 60 })
		time.Sleep(time.Minute)
		wantActive(t, watch, Memory)
		if w.collections < 10 || w.collections > 14 {
			t.Errorf("%d collections in a minute of low memory, want one every five seconds", w.collections)
		}
	})
}

func TestDiskOfUnknownSpaceKeepsItsState(t *testing.T) {
	w := &world{free: 10}
	watched(t, w, func(watch *Watch) {
		wantActive(t, watch, Disk)
		w.change(func() { w.err = errors.New("no answer") })
		time.Sleep(time.Second)
		wantActive(t, watch, Disk)
		w.change(func() { w.err, w.free = nil, 100 })
		time.Sleep(time.Second)
		w.change(func() { w.err = errors.New("no answer") })
		time.Sleep(time.Second)
		wantActive(t, watch, 0)
	})
}

func TestFullLogIsADiskAlarmWhileAnybodyWaits(t *testing.T) {
	w := &world{free: 1000}
	watched(t, w, func(watch *Watch) {
		first, second := watch.Full(), watch.Full()
		wantActive(t, watch, Disk)
		first()
		first() // once more counts no more
		time.Sleep(time.Minute)
		wantActive(t, watch, Disk)
		_, changed := watch.Look()
		second()
		wantActive(t, watch, 0)
		<-changed
	})
}

func TestLimitsOfZeroAreNone(t *testing.T) {
	watch := New(Config{Sources: (&world{held: 1 << 60}).sources()})
	watch.Check()
	wantActive(t, watch, 0)
}

func TestShareOfMemoryIsOfWhatTheProcessMayUse(t *testing.T) {
	if half, all := (Limit{Share: 0.5}).bytes(), (Limit{Share: 1}).bytes(); half == 0 || all/half != 2 {
		t.Errorf("half of the memory is %d, all is %d", half, all)
	}
	for _, bad := range []Limit{{Share: -0.1}, {Share: 1.5}, {Share: 0.5, Bytes: 1}} {
		if bad.Validate() == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestGroupsLimitTheMemory(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"a/memory.max": "5000\n", "a/b/memory.max": "max\n", "a/c/memory.max": "300\n",
		"memory/x/memory.limit_in_bytes": "700\n",
	} {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"0::/a/b": "5000", "0::/a/c": "300", "0::/": "none", "0::/gone/away": "none",
		"7:memory:/x": "700", "3:cpu,cpuacct:/x": "none", "": "none", "nonsense": "none",
	} {
		got := fmt.Sprint(groupLimit(root, line))
		if strings.HasPrefix(got, "18446744") {
			got = "none"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func TestSystemTellsTheMemoryHeld(t *testing.T) {
	if h := held(); h < 1<<20 || h > 1<<40 {
		t.Errorf("%d bytes held", h)
	}
}
