package contender

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestMeterMeasuresThisProcess(t *testing.T) {
	m := NewMeter(os.Getpid())
	if err := m.Begin(); err != nil {
		t.Fatal(err)
	}
	for start, n := time.Now(), 0; time.Since(start) < 100*time.Millisecond; n++ { // burn some
		_ = fmt.Sprint(n)
	}
	used, err := m.End()
	if err != nil {
		t.Fatal(err)
	}
	if used.CPU <= 0 || used.CPU > time.Minute {
		t.Errorf("CPU time %v", used.CPU)
	}
	if used.PeakAnon <= 0 || used.PeakRSS < used.PeakAnon {
		t.Errorf("peak %d, of it %d without files", used.PeakRSS, used.PeakAnon)
	}
	if now, err := m.Resident(); err != nil || now <= 0 || now > used.PeakRSS<<2 {
		t.Errorf("%d bytes are resident now, %v", now, err)
	}
}

func TestMeterNamesAMissingProcess(t *testing.T) {
	if err := NewMeter(1 << 30).Begin(); err == nil {
		t.Error("a process that does not exist is measured")
	}
}

// A shell that waits for a child counts as one broker of two processes.
func TestMeterFindsChildren(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 600 & echo ready; wait")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	pids, err := NewMeter(cmd.Process.Pid).tree()
	if err != nil || len(pids) != 2 || pids[0] != cmd.Process.Pid {
		t.Errorf("processes %v of %d, %v", pids, cmd.Process.Pid, err)
	}
	for _, pid := range slices.Backward(pids) {
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Kill()
		}
	}
	_ = cmd.Wait()
}

// The CPU time of a child that ends is its parent's from then on.
func TestMeterAddsUpATree(t *testing.T) {
	proc := t.TempDir()
	process := func(pid, parent, ticks, waitedFor, kib int) {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		stat := fmt.Sprintf("%d (beam.smp) S %d 7 7 0 -1 4194304 100 200 3 4 %d 0 %d 0 20 0", pid, parent, ticks, waitedFor)
		status := fmt.Sprintf("Name:\tbeam.smp\nVmHWM:\t%d kB\nVmRSS:\t%d kB\nRssAnon:\t%d kB\n", kib, kib, kib)
		for name, text := range map[string]string{"stat": stat, "status": status} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	process(10, 1, 100, 0, 1000)
	process(11, 10, 50, 0, 100)
	process(12, 11, 5, 0, 10)
	process(13, 1, 1000, 0, 1000) // somebody else
	m := NewMeter(10, 11)
	m.proc = proc
	if err := m.Begin(); err != nil {
		t.Fatal(err)
	}
	process(11, 10, 60, 8, 200) // it used 10, and waited for 12, which had used 3 more
	if err := os.RemoveAll(filepath.Join(proc, "12")); err != nil {
		t.Fatal(err)
	}
	used, err := m.End()
	if err != nil || used.CPU != 13*clockTick || used.PeakRSS != 1200<<10 || used.PeakAnon < 1100<<10 {
		t.Errorf("%+v, %v", used, err)
	}
	if err := os.RemoveAll(filepath.Join(proc, "10")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Resident(); err == nil {
		t.Error("a broker that has ended is measured")
	}
}
