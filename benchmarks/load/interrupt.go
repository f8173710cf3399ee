package load

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace-mq/millrace/server/client"
)

// interrupted ends a run whose context has ended: it finishes the results and deletes what was declared.
func (m *Measurement) interrupted(ctx context.Context, results []Result) ([]Result, error) {
	results = slices.DeleteFunc(results, func(r Result) bool { return r.Elapsed == 0 }) // it was not measured yet
	if len(results) > 0 {
		last := &results[len(results)-1]
		last.Interrupted = true
		last.Unchecked = append(m.Workload.Unchecked(), "the run was interrupted: what was under way is not looked for")
		if m.published.sent != nil && m.Workload.checked() {
			faults := m.audit()
			faults.Lost = 0
			last.Faults.add(faults)
		}
	}
	err := context.Cause(ctx)
	if m.Workload.Mode == ModePublish || m.Workload.Mode == ModeConsume {
		return results, err // whose queues stay in any case
	}
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), client.CallTimeout)
	defer cancel()
	return results, errors.Join(err, m.tidy(soon))
}

// checked says whether what was consumed is compared with what was published.
func (w *Workload) checked() bool { return w.produces() && w.consumes() && !w.StopReading }

// tidy deletes what a workload declares, and what is in it.
func (m *Measurement) tidy(ctx context.Context) error {
	c, err := dial(ctx, m.Address, 1)
	if err == nil {
		err = closeAfter(c, remove(c, &m.Workload))
		c.HangUp()
	}
	if err != nil {
		return fmt.Errorf("queues were not deleted: %w", err)
	}
	return nil
}
