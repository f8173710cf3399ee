package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many publishes may wait for their confirms.
const window = 5000

// last is the type of a file's last message.
const last = "last"

// publisher sends lines on one channel, in order.
type publisher struct {
	channel *amqp.Channel
	room    chan struct{} // holds one token for each publish without its confirm
	ended   chan struct{} // closed when no more confirms come
	refused bool          // a publish was; to be read after ended
}

// publish sends every line of the files and returns how many there were,
// once all of them are confirmed.
func publish(ctx context.Context, url, tree string, files []file) (lines int, err error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	p := &publisher{room: make(chan struct{}, window), ended: make(chan struct{})}
	if p.channel, err = conn.Channel(); err != nil {
		return 0, err
	}
	if err := p.channel.Confirm(false); err != nil {
		return 0, err
	}
	go p.watch(p.channel.NotifyPublish(make(chan amqp.Confirmation, window)))
	for _, f := range files {
		n, err := p.send(ctx, tree, f)
		lines += n
		if err != nil {
			return lines, fmt.Errorf("%s: %w", f, err)
		}
	}
	for range window { // only when every token is back is everything confirmed
		if err := p.take(ctx); err != nil {
			return lines, err
		}
	}
	if err := conn.Close(); err != nil {
		return lines, err
	}
	<-p.ended
	if p.refused {
		return lines, errors.New("the broker refused a message")
	}
	return lines, nil
}

func (p *publisher) watch(confirms <-chan amqp.Confirmation) {
	defer close(p.ended)
	for confirm := range confirms {
		p.refused = p.refused || !confirm.Ack
		<-p.room
	}
}

// take waits until one more publish may be on its way.
func (p *publisher) take(ctx context.Context) error {
	select {
	case p.room <- struct{}{}:
		return nil
	case <-p.ended:
		return errors.New("connection lost")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send publishes a file's lines, each with its line break.
func (p *publisher) send(ctx context.Context, tree string, f file) (lines int, err error) {
	source, err := os.Open(filepath.Join(tree, filepath.FromSlash(string(f))))
	if err != nil {
		return 0, err
	}
	defer source.Close()
	reader := bufio.NewReader(source)
	for ended := false; !ended; lines++ {
		line, err := reader.ReadBytes('\n') // an empty file has one line, which is empty
		if err != nil && !errors.Is(err, io.EOF) {
			return lines, err
		}
		message := amqp.Publishing{
			Headers:      amqp.Table{"file": string(f), "line": int64(lines + 1)},
			ContentType:  "text/plain",
			DeliveryMode: amqp.Persistent,
			Body:         line,
		}
		if _, err := reader.Peek(1); errors.Is(err, io.EOF) {
			message.Type, ended = last, true
		}
		if err := p.take(ctx); err != nil {
			return lines, err
		}
		if err := p.channel.PublishWithContext(ctx, exchange, f.key(), false, false, message); err != nil {
			return lines, err
		}
	}
	return lines, nil
}
