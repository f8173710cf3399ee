package benchmarks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a broker's process used up in a phase of a run.
type usage struct {
	cpu      time.Duration
	peakRSS  int64 // resident bytes, mapped files of the log among them
	peakAnon int64 // resident bytes without mapped files: what nothing but the process could give back
	mallocs  uint64
}

// meter measures a broker. Begin and end stand around each phase.
type meter interface {
	begin() error
	end() (usage, error)
}

// processMeter measures another process by what /proc tells of it.
type processMeter struct {
	dir string

	cpu      time.Duration // at begin
	stop     chan struct{}
	sampling sync.WaitGroup
	peakAnon int64 // owned by the sampler until it has ended
}

func newProcessMeter(pid int) *processMeter {
	return &processMeter{dir: filepath.Join("/proc", strconv.Itoa(pid))}
}

// sampleEvery is how often memory is looked at.
const sampleEvery = 50 * time.Millisecond

func (m *processMeter) begin() error {
	// The kernel starts its peak anew on request. A process of somebody else's may refuse: then the peak is
	// of its whole life.
	_ = os.WriteFile(filepath.Join(m.dir, "clear_refs"), []byte("5"), 0)
	var err error
	if m.cpu, err = m.cpuTime(); err != nil {
		return err
	}
	m.stop = make(chan struct{})
	m.peakAnon = 0
	m.sampling.Go(m.sample)
	return nil
}

func (m *processMeter) sample() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if status, err := os.ReadFile(filepath.Join(m.dir, "status")); err == nil {
			anon, _ := statusBytes(status, "RssAnon")
			m.peakAnon = max(m.peakAnon, anon)
		}
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
	}
}

func (m *processMeter) end() (usage, error) {
	close(m.stop)
	m.sampling.Wait()
	cpu, err := m.cpuTime()
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(m.dir, "status"))
	if err != nil {
		return usage{}, err
	}
	peak, err := statusBytes(status, "VmHWM")
	return usage{cpu: cpu - m.cpu, peakRSS: peak, peakAnon: m.peakAnon}, err
}

func (m *processMeter) cpuTime() (time.Duration, error) {
	path := filepath.Join(m.dir, "stat")
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	cpu, err := statCPU(stat)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return cpu, nil
}

// clockTick is the unit of times in /proc: USER_HZ is 100 on every platform that Go runs on.
const clockTick = 10 * time.Millisecond

var errProcFormat = errors.New("not the format of Linux")

// statCPU reads user and system time from /proc/PID/stat. The command's name is the second field and
// may hold anything, so fields are counted from its closing parenthesis.
func statCPU(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const user, system = 14 - 3, 15 - 3 // the first field here is the third
	if len(fields) <= system {
		return 0, errProcFormat
	}
	u, err := strconv.ParseInt(string(fields[user]), 10, 64)
	if err != nil {
		return 0, errProcFormat
	}
	s, err := strconv.ParseInt(string(fields[system]), 10, 64)
	if err != nil {
		return 0, errProcFormat
	}
	return time.Duration(u+s) * clockTick, nil
}

// statusBytes reads a size from /proc/PID/status.
func statusBytes(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte(name+":"))
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s in /proc: %w", name, errProcFormat)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("%s is not in /proc", name)
}

// ownCPU is the CPU time that this process has used.
func ownCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
