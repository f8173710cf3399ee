package contender

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Usage is what a broker's processes used up between Begin and End.
type Usage struct {
	CPU      time.Duration // user and system
	PeakRSS  int64         // resident bytes, mapped files among them; of several processes the sum of their peaks
	PeakAnon int64         // resident bytes without mapped files: what nothing but the processes could give back
	Mallocs  uint64        // heap allocations, of a broker in this process
}

// Meter measures processes and their children by what /proc tells of them. RabbitMQ is such a tree.
type Meter struct {
	roots []int
	proc  string // where /proc is

	cpu      time.Duration // at Begin
	stop     chan struct{}
	sampling sync.WaitGroup
	peakAnon int64 // owned by the sampler until it has ended
}

// NewMeter measures these processes and those that they started.
func NewMeter(pids ...int) *Meter { return &Meter{roots: pids, proc: "/proc"} }

const (
	// sampleEvery is how often memory is looked at.
	sampleEvery = 50 * time.Millisecond
	// walkEvery is how many looks at the memory there are for each search for new children. It reads all of /proc, 4 ms
	// with 90 processes: once a second, that was the 99.9th percentile of a broker's latency.
	walkEvery = 200
)

// Begin starts counting.
func (m *Meter) Begin() error {
	pids, err := m.tree()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		// The kernel starts its peak anew on request. A process of somebody else's may refuse: then the peak is
		// of its whole life.
		_ = os.WriteFile(m.file(pid, "clear_refs"), []byte("5"), 0)
	}
	if m.cpu, err = m.cpuTime(pids); err != nil {
		return err
	}
	m.stop = make(chan struct{})
	m.peakAnon = 0
	m.look(pids) // now, and not when the sampler has its turn
	m.sampling.Go(func() { m.sample(pids) })
	return nil
}

// look takes notice of the memory that the processes have now.
func (m *Meter) look(pids []int) {
	if anon, err := m.memory(pids, "RssAnon"); err == nil {
		m.peakAnon = max(m.peakAnon, anon)
	}
}

func (m *Meter) sample(pids []int) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
		if n%walkEvery == 0 {
			if now, err := m.tree(); err == nil {
				pids = now
			}
		}
		m.look(pids)
	}
}

// End returns what was used since Begin.
func (m *Meter) End() (Usage, error) {
	close(m.stop)
	m.sampling.Wait()
	pids, err := m.tree()
	if err != nil {
		return Usage{}, err
	}
	cpu, err := m.cpuTime(pids)
	if err != nil {
		return Usage{}, err
	}
	peak, err := m.memory(pids, "VmHWM")
	return Usage{CPU: cpu - m.cpu, PeakRSS: peak, PeakAnon: m.peakAnon}, err
}

// Resident is how many bytes of memory the processes hold now, mapped files among them.
func (m *Meter) Resident() (int64, error) {
	pids, err := m.tree()
	if err != nil {
		return 0, err
	}
	return m.memory(pids, "VmRSS")
}

func (m *Meter) cpuTime(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(m.file(pid, "stat"))
		if m.gone(pid, err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		cpu, err := statCPU(stat)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", m.file(pid, "stat"), err)
		}
		sum += cpu
	}
	return sum, nil
}

func (m *Meter) memory(pids []int, field string) (sum int64, err error) {
	for _, pid := range pids {
		status, err := os.ReadFile(m.file(pid, "status"))
		if m.gone(pid, err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := statusBytes(status, field)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", m.file(pid, "status"), err)
		}
		sum += n
	}
	return sum, nil
}

// gone says whether the file of a process could not be read because that one, a child, has ended: its
// parent has its CPU time then. That one of the roots has ended is worth an error.
func (m *Meter) gone(pid int, err error) bool {
	if err == nil || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNoProcess) {
		return false
	}
	for _, root := range m.roots {
		if pid == root {
			return false
		}
	}
	return true
}

func (m *Meter) file(pid int, name string) string {
	return filepath.Join(m.proc, fmt.Sprint(pid), name)
}
