package alarm

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit is how much memory the process may hold: a number of bytes, or a share of what there is. The zero
// Limit is none.
type Limit struct {
	Bytes uint64
	Share float64 // of the memory that the process may use, up to 1
}

// Validate reports what is wrong with the limit.
func (l Limit) Validate() error {
	if l.Bytes > 0 && l.Share != 0 {
		return errors.New("memory limit is both a number of bytes and a share")
	}
	if !(l.Share >= 0 && l.Share <= 1) {
		return fmt.Errorf("memory limit %v is not a share from 0 to 1", l.Share)
	}
	return nil
}

func (l Limit) bytes() uint64 {
	if l.Share == 0 {
		return l.Bytes
	}
	return uint64(l.Share * float64(usable()))
}

// held is what the runtime has taken from the system and not given back.
func held() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// collect frees garbage and gives free memory back to the system, so that held tells what is in use.
func collect() { debug.FreeOSMemory() }

// usable is the memory that the process may use: the machine's, or what its control groups allow.
func usable() uint64 {
	limit := uint64(math.MaxUint64)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		limit = uint64(info.Totalram) * uint64(cmp.Or(info.Unit, 1))
	}
	file, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return limit
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		limit = min(limit, groupLimit("/sys/fs/cgroup", lines.Text()))
	}
	return limit
}

// groupLimit is the memory that the groups of one line of /proc/self/cgroup allow, which is the least that
// the group or any around it does.
func groupLimit(root, line string) uint64 {
	limit := uint64(math.MaxUint64)
	_, rest, _ := strings.Cut(line, ":")
	controllers, group, ok := strings.Cut(rest, ":")
	name := "memory.max" // version 2 has one hierarchy and names no controllers
	switch {
	case !ok:
		return limit
	case controllers == "memory":
		root, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
	case controllers != "":
		return limit
	}
	for group = filepath.Clean("/" + group); ; group = filepath.Dir(group) {
		text, err := os.ReadFile(filepath.Join(root, group, name))
		if err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil { // or "max"
				limit = min(limit, n)
			}
		}
		if group == "/" {
			return limit
		}
	}
}
