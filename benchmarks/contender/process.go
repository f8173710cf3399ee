package contender

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every platform that Go runs on.
const clockTick = 10 * time.Millisecond

var (
	errProcFormat = errors.New("not the format of Linux")
	errNoProcess  = syscall.ESRCH // reading a file of a process that ends meanwhile
)

// tree returns the processes to measure and all that descend from them, each once. A process that was
// orphaned belongs to nobody any more.
func (m *Meter) tree() ([]int, error) {
	children, err := m.children()
	if err != nil {
		return nil, err
	}
	var found []int
	for next := slices.Clone(m.roots); len(next) > 0; next = next[1:] {
		if slices.Contains(found, next[0]) {
			continue
		}
		found = append(found, next[0])
		next = append(next, children[next[0]]...)
	}
	return found, nil
}

// children tells whose parent each process is.
func (m *Meter) children() (map[int][]int, error) {
	files, err := filepath.Glob(filepath.Join(m.proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if parent, err := statNumber(stat, 4); err == nil {
			children[int(parent)] = append(children[int(parent)], pid)
		}
	}
	return children, nil
}

// statCPU reads user and system time from /proc/PID/stat, and those of children that have ended and been
// waited for: with them, the sum over a tree only grows when children end.
func statCPU(stat []byte) (sum time.Duration, err error) {
	for field := 14; field <= 17; field++ {
		ticks, err := statNumber(stat, field)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ticks) * clockTick
	}
	return sum, nil
}

// statNumber reads a field, counted from 1 as the manual does. The command's name is the second field and
// may hold anything, so fields are counted from its closing parenthesis.
func statNumber(stat []byte, field int) (int64, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if field -= 3; field >= len(fields) {
		return 0, errProcFormat
	}
	n, err := strconv.ParseInt(string(fields[field]), 10, 64)
	if err != nil {
		return 0, errProcFormat
	}
	return n, nil
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
