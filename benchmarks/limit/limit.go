package limit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Config says where and how long to measure.
type Config struct {
	Data string        // folder on the disk in question; "" is the system's place for temporary files
	Time time.Duration // of each measurement; 0 is 3 s
	Size int64         // of the file that is written over and over; 0 is 512 MiB
}

// Result is one measurement. What does not apply to it is 0.
type Result struct {
	Name   string  `json:"name"`
	Note   string  `json:"note"`
	Bytes  float64 `json:"bytes_per_second"`
	KiBCPU float64 `json:"cpu_us_per_kib"` // of the relay's thread, which sees no messages: a message of 1 KiB
	// Syncs and writes, in nanoseconds.
	P50  time.Duration `json:"p50,omitempty"`
	P99  time.Duration `json:"p99,omitempty"`
	P999 time.Duration `json:"p999,omitempty"`
}

const (
	defaultTime = 3 * time.Second
	defaultSize = 512 << 20
	leastSize   = 4 << 20
)

// Measure takes all measurements, one after another. The folder is left as it was.
func Measure(ctx context.Context, cfg Config) (results []Result, err error) {
	if cfg.Time == 0 {
		cfg.Time = defaultTime
	}
	if cfg.Size == 0 {
		cfg.Size = defaultSize
	}
	if cfg.Size < leastSize || cfg.Time < 0 {
		return nil, fmt.Errorf("a file of %d bytes for %v is no measurement", cfg.Size, cfg.Time)
	}
	dir, err := os.MkdirTemp(cfg.Data, "millrace-limit-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, err := preallocate(filepath.Join(dir, "file"), cfg.Size)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for _, measure := range []func() (Result, error){
		func() (Result, error) { return relay(ctx, cfg.Time, nil) },
		func() (Result, error) { return relay(ctx, cfg.Time, &ring{file: file, size: cfg.Size}) },
		func() (Result, error) { return syncs(ctx, cfg.Time, &ring{file: file, size: cfg.Size}, 1<<10) },
		func() (Result, error) { return syncs(ctx, cfg.Time, &ring{file: file, size: cfg.Size}, 64<<10) },
		func() (Result, error) { return sequential(ctx, cfg.Time, &ring{file: file, size: cfg.Size}) },
	} {
		r, err := measure()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}
