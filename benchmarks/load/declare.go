package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/server/client"
)

// declareOnly declares the queues, one after another as a client does, and deletes them.
func (m *Measurement) declareOnly(ctx context.Context) ([]Result, error) {
	w := &m.Workload
	conn, err := dial(ctx, m.Address, 1)
	if err != nil {
		return nil, err
	}
	defer conn.HangUp()
	if err := remove(conn, w); err != nil {
		return nil, err
	}
	before, err := m.resident()
	if err != nil {
		return nil, err
	}
	m.progress = newProgress()
	r := &running{workload: w}
	if err := m.begin(r); err != nil {
		return nil, err
	}
	result := Result{Workload: w.Name, ID: w.ID}
	err = m.declareEach(conn, &result)
	err = errors.Join(err, m.end(r, &result))
	if err != nil {
		return []Result{result}, err
	}
	if result.Growth, err = m.growth("queue", w.Queues, before); err != nil {
		return nil, err
	}
	if err := remove(conn, w); err != nil {
		return nil, err
	}
	return []Result{result}, conn.Close()
}

func (m *Measurement) declareEach(conn *client.Conn, result *Result) error {
	w := &m.Workload
	start := m.clock.now()
	last, told := start, uint64(0)
	for i := range w.Queues {
		if err := declareQueue(conn, w, w.queueName(i)); err != nil {
			return fmt.Errorf("queue %d of %d: %w", i+1, w.Queues, err)
		}
		result.Declared++
		if now := m.clock.now(); now-last >= time.Second && m.Ticks != nil {
			m.Ticks(Tick{At: now - start, Span: now - last, Declared: result.Declared - told})
			last, told = now, result.Declared
		}
	}
	return nil
}

// growth is what the broker's memory has grown by since there were so many bytes.
func (m *Measurement) growth(what string, count int, before int64) (*Growth, error) {
	if m.Meter == nil {
		return nil, nil
	}
	now, err := m.resident()
	return &Growth{What: what, Count: count, Bytes: max(now-before, 0)}, err
}
