package broker

import (
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// look finds the deliveries that were not settled in time, and returns when to look again (CONS-12).
func (vh *VHost) look(now int64) int64 {
	vh.clients.Lock()
	clients := make([]*Client, 0, len(vh.clients.open)) // who comes later holds nothing yet
	for c := range vh.clients.open {
		clients = append(clients, c)
	}
	vh.clients.Unlock()
	vh.state.Lock()
	defer vh.unlockStateAt(now)
	vh.state.agenda.Look(now, func(yield func(*queue.Channel) bool) {
		for _, c := range clients {
			for _, ch := range c.channels {
				if !yield(ch.Channel) {
					return
				}
			}
		}
	}, vh.overdueLocked)
	return vh.state.agenda.NextLook()
}

// overdueLocked tells a client that it took too long: its channel ends, or with a quorum queue its consumer
// (chapter 26).
func (vh *VHost) overdueLocked(o queue.Overdue) {
	ch := o.Channel
	sink := ch.Outlet().(*Client).sink
	if o.Consumer != nil {
		vh.broker.logger.Warn("consumer cancelled: a delivery was not settled in time",
			"vhost", vh.Name, "queue", o.Consumer.Queue().Name, "consumer", o.Consumer.Tag, "timeout_ms", o.Patience)
		sink.Cancel(ch.Number, o.Consumer.Tag)
		return
	}
	sink.CloseChannel(ch, amqp.Errorf(amqp.PreconditionFailed, 0,
		"delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more", ch.Number, o.Patience))
}
