package benchmarks

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine says when and where it is measured, a line each.
func machine() []string {
	var system unix.Utsname
	kernel := ""
	if unix.Uname(&system) == nil {
		kernel = ", Linux " + unix.ByteSliceToString(system.Release[:])
	}
	memory := ""
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = fmt.Sprintf(", %d GiB of memory", uint64(info.Totalram)*uint64(info.Unit)>>30)
	}
	return []string{
		time.Now().UTC().Format("2 January 2006, 15:04 UTC"),
		fmt.Sprintf("%d CPUs (%s)%s%s, generator built with %s", runtime.NumCPU(), processor(), memory, kernel, runtime.Version()),
	}
}

// processor is its name as the kernel tells it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
