package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetch is how many messages a consumer may hold; it acks them in halves.
const prefetch = 1000

// collect consumes every queue and writes the files. The channel it returns
// is closed when all files are complete, or when it has cancelled ctx.
func collect(ctx context.Context, cancel context.CancelCauseFunc, url, out string, files []file) <-chan struct{} {
	perGroup := map[string]int{}
	for _, f := range files {
		perGroup[f.group()]++
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := amqp.Dial(url)
		if err != nil {
			cancel(err)
			return
		}
		defer conn.Close()
		var writers sync.WaitGroup
		for group, n := range perGroup {
			writers.Go(func() {
				if err := write(ctx, conn, queueName(group), out, n); err != nil {
					cancel(fmt.Errorf("%s: %w", queueName(group), err))
				}
			})
		}
		writers.Wait()
	}()
	return done
}

// write consumes a queue until so many files are complete.
func write(ctx context.Context, conn *amqp.Connection, queue, out string, files int) error {
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	w := fileWriter{out: out}
	defer w.close()
	for n := 1; files > 0; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, ok := <-deliveries:
			if !ok {
				return errors.New("connection lost")
			}
			if err := w.append(line); err != nil {
				return err
			}
			if line.Type == last {
				files--
			}
			if n%(prefetch/2) == 0 || files == 0 {
				if err := line.Ack(true); err != nil {
					return err
				}
			}
		}
	}
	return w.close()
}

// fileWriter writes one file after the other.
type fileWriter struct {
	out   string
	name  string // of the file being written; "" = none
	lines int64
	file  *os.File
	text  *bufio.Writer
}

func (w *fileWriter) append(line amqp.Delivery) error {
	name, _ := line.Headers["file"].(string)
	if w.name != name {
		if err := w.open(name); err != nil {
			return err
		}
	}
	w.lines++
	if number, _ := line.Headers["line"].(int64); number != w.lines || line.Redelivered {
		return fmt.Errorf("%s: line %d came as number %d, redelivered %v", name, number, w.lines, line.Redelivered)
	}
	_, err := w.text.Write(line.Body)
	return err
}

func (w *fileWriter) open(name string) error {
	if err := w.close(); err != nil {
		return err
	}
	path := filepath.Join(w.out, filepath.FromSlash(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("%q is not a path below the folder", name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	w.name, w.lines, w.file, w.text = name, 0, file, bufio.NewWriter(file)
	return nil
}

func (w *fileWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.text.Flush(), w.file.Close())
	w.name, w.file = "", nil
	return err
}
