package limit

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relayBuffer is what is read at most at once, as much as a broker's connection reads.
const relayBuffer = 256 << 10

// relay passes what comes from one connection to another, and writes it to a file on the way, if there is one.
func relay(ctx context.Context, d time.Duration, to *ring) (Result, error) {
	r := Result{Name: "relay", Note: "reads from one connection and writes to another"}
	if to != nil {
		r.Name, r.Note = "relay with a file", "the same, and writes to a preallocated file first; no sync"
	}
	from, into, ends, err := connections()
	if err != nil {
		return r, err
	}
	stop := context.AfterFunc(ctx, ends.close)
	defer stop()
	defer ends.close()
	var others sync.WaitGroup
	others.Go(func() {
		flood(from.far, d)
		from.far.Close()
	})
	others.Go(func() { _, _ = io.Copy(io.Discard, into.far) })
	start := time.Now()
	var bytes int64
	var cpu time.Duration
	var passErr error
	var relaying sync.WaitGroup
	relaying.Go(func() { bytes, cpu, passErr = pass(from.near, into.near, to) })
	relaying.Wait()
	elapsed := time.Since(start)
	ends.close()
	others.Wait()
	if passErr != nil {
		return r, passErr
	}
	r.Bytes = float64(bytes) / elapsed.Seconds()
	r.KiBCPU = float64(cpu.Nanoseconds()) / 1e3 / (float64(max(bytes, 1)) / 1024)
	return r, nil
}

// pass is the relay itself. It has a thread to itself, whose CPU time is its own.
func pass(from, into net.Conn, to *ring) (bytes int64, cpu time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadCPU()
	buf := make([]byte, relayBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 && to != nil {
			if err := to.write(buf[:n]); err != nil {
				return bytes, 0, err
			}
		}
		if n > 0 {
			if _, err := into.Write(buf[:n]); err != nil {
				return bytes, 0, err
			}
		}
		bytes += int64(n)
		if errors.Is(err, io.EOF) {
			return bytes, threadCPU() - before, nil
		}
		if err != nil {
			return bytes, 0, err
		}
	}
}

func threadCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// flood writes as fast as it goes.
func flood(to net.Conn, d time.Duration) {
	buf := make([]byte, relayBuffer/2)
	for start := time.Now(); time.Since(start) < d; {
		if _, err := to.Write(buf); err != nil {
			return
		}
	}
}

// pair is both ends of a connection over loopback.
type pair struct{ near, far net.Conn }

// closers closes connections, several times if need be.
type closers []net.Conn

func (c closers) close() {
	for _, conn := range c {
		conn.Close()
	}
}

func connections() (from, into pair, all closers, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return from, into, nil, err
	}
	defer listener.Close()
	for _, p := range []*pair{&from, &into} {
		if p.far, err = net.Dial("tcp", listener.Addr().String()); err == nil {
			all = append(all, p.far)
			p.near, err = listener.Accept()
		}
		if err != nil {
			all.close()
			return from, into, nil, err
		}
		all = append(all, p.near)
	}
	return from, into, all, nil
}
