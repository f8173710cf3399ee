package server

import (
	"context"
	"log/slog"

	"github.com/millrace-mq/millrace/server/internal/broker"
)

// Compacted tells what Compact did.
type Compacted = broker.Compacted

// Compact takes out of a data folder's log what nobody needs, history too, and compresses the rest. No broker may run on
// the folder. After the end of ctx everything is in its place.
func Compact(ctx context.Context, data string, logger *slog.Logger) (Compacted, error) {
	return broker.Compact(ctx, broker.Config{Data: data, Logger: logger})
}

// Rebuilt tells of an index that was made anew.
type Rebuilt struct {
	Aside    string // where the old one is; empty: there was none
	Replayed int    // records
	Queues   int
	Messages int
}

// RebuildIndex sets a data folder's index aside and makes it anew from the log. No broker may run on the folder. If
// repair is set it goes on without messages whose queues damaged records have told of.
func RebuildIndex(data string, repair bool, logger *slog.Logger) (Rebuilt, error) {
	r, aside, err := broker.RebuildIndex(broker.Config{Data: data, Repair: repair, Logger: logger})
	return Rebuilt{Aside: aside, Replayed: r.Replayed, Queues: r.Queues, Messages: r.Messages}, err
}
