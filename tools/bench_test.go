package tools_test

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/wal"
)

// benchMessages times 1 KiB is what the benchmarks read; it fits into the memory of small machines.
const benchMessages = 200_000

// benchLog is a data folder with messages of 1 KiB that have a content type and eight headers.
func benchLog(b *testing.B) string {
	b.Helper()
	data := b.TempDir()
	l, err := wal.Open(wal.Config{Dir: filepath.Join(data, "log")})
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	var batch segment.Batch
	for i := range benchMessages {
		headers := amqp.Table{"tenant": fmt.Sprintf("tenant-%d", i%100), "attempt": int32(i % 7)}
		for n := range 6 {
			headers[fmt.Sprintf("x-header-%d", n)] = fmt.Sprintf("value %d of %d", n, i)
		}
		properties := amqp.Properties{ContentType: "application/json", DeliveryMode: amqp.Persistent, Headers: headers}
		body := make([]byte, 1024)
		header := amqp.AppendHeader(nil, uint64(len(body)), &properties)
		batch.BeginPublish(segment.PublishHead{
			VHost: 1, Queues: []segment.QueueID{segment.QueueID(1 + i%3)}, Header: header, BodySize: len(body),
			Keys: amqp.MakeKeys("orders", fmt.Sprintf("order.created.%d", i%50)),
		})
		batch.AppendBody(body)
		batch.EndPublish()
		if batch.Count() == 50 || i == benchMessages-1 {
			if err := l.Append(&batch, nil); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return data
}

// benchCommand runs a command over and over on one core, and tells how much of messages it reads in a second.
func benchCommand(b *testing.B, args ...string) {
	b.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	data := benchLog(b)
	b.SetBytes(benchMessages * 1024)
	for b.Loop() {
		root := command.Root("test", tools.LogCommand(tools.Offline{}))
		streams := command.Streams{Out: io.Discard, Err: io.Discard}
		if code := command.Run(b.Context(), root, streams, append(append([]string{"log"}, args...), "--data", data)); code != 0 {
			b.Fatalf("exit code %d", code)
		}
	}
}

func BenchmarkLogStat(b *testing.B) { benchCommand(b, "stat") }

func BenchmarkLogCatHeader(b *testing.B) { benchCommand(b, "cat", "--header", "tenant=tenant-1000") }

func BenchmarkLogCatWhere(b *testing.B) {
	benchCommand(b, "cat", "--where", `headers["tenant"] == "tenant-1000"`)
}
