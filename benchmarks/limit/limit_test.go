package limit

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestLimitsAreMeasured(t *testing.T) {
	dir := t.TempDir()
	results, err := Measure(t.Context(), Config{Data: dir, Time: 20 * time.Millisecond, Size: leastSize})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 5 {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		if r.Bytes <= 0 || r.Name == "" || r.Note == "" {
			t.Errorf("%+v", r)
		}
		if timed := i == 2 || i == 3; timed != (r.P50 > 0) || r.P50 > r.P99 || r.P99 > r.P999 {
			t.Errorf("times of %+v", r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLimitsEndWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, Config{Data: t.TempDir(), Time: time.Hour, Size: leastSize}); err == nil {
		t.Error("no error")
	}
}

func TestLimitsRefuseWhatIsNoMeasurement(t *testing.T) {
	for _, cfg := range []Config{{Size: 1}, {Time: -1}, {Data: "/nowhere/at/all"}} {
		if _, err := Measure(t.Context(), cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestRingStartsAgain(t *testing.T) {
	file, err := preallocate(t.TempDir()+"/file", leastSize)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := ring{file: file, size: leastSize}
	for range 9 {
		if err := r.write(make([]byte, leastSize/4)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() != leastSize || r.at != leastSize/4 {
		t.Errorf("%d bytes, at %d, %v", info.Size(), r.at, err)
	}
}
