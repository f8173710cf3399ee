package contender

import (
	"testing"
	"time"
)

func TestCPUTimeIsReadBehindTheCommandsName(t *testing.T) {
	const rest = " S 1 7 7 0 -1 4194304 100 200 3 4 150 25 9 9 20 0 12 0 4000 1000000 500 18446744073709551615"
	for _, name := range []string{"millrace", "a b", "x) S 1 (y", "", "beam.smp)"} {
		got, err := statCPU([]byte("4711 (" + name + ")" + rest))
		if err != nil || got != 1930*time.Millisecond {
			t.Errorf("command %q: %v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "4711", "4711 (x) S 1 2 3", "4711 (x) S 1 7 7 0 -1 4194304 100 200 3 4 many 25 9 9"} {
		if _, err := statCPU([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestMemoryIsReadByName(t *testing.T) {
	status := []byte("Name:\tVmHWM: 7 kB\nVmPeak:\t  900 kB\nVmHWM:\t  1024 kB\nRssAnon:\t     512 kB\nRssFile:\tx kB\n")
	for name, want := range map[string]int64{"VmHWM": 1 << 20, "RssAnon": 512 << 10} {
		if got, err := statusBytes(status, name); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"VmRSS", "RssFile"} {
		if _, err := statusBytes(status, name); err == nil {
			t.Errorf("%s was found", name)
		}
	}
}
