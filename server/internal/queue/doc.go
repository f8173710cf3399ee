// Package queue says what happens to a message in a queue: who gets it next, who holds it, when it
// leaves. It is plain synchronous code: an event comes in, the state changes, effects come out. It
// opens no file, knows no socket, starts no goroutine and reads no clock.
//
// Four nouns:
//
//   - [Queue]: the entries of one queue (kept by package index), its consumers and their turns.
//   - [Consumer]: one subscription, with its credit.
//   - [Channel]: the delivery tags and the unsettled deliveries of one AMQP channel.
//   - [Agenda]: what is left to do for the queues of one virtual host before their owner lets go of
//     them: queues that may be able to deliver, and queues with news for the log.
//
// Nothing here is safe for concurrent use. Everything that belongs to one virtual host is guarded by
// that host's state lock, which the broker holds around every call.
//
// Deliveries are effects: they go to the [Outlet] of the channel's connection, which must only note
// them. Settled entries are effects too: they gather in the queue's journal as LSN ranges until the
// broker writes them to the log with [Queue.TakeJournal].
//
//	agenda := &queue.Agenda{}
//	q := queue.New(declaration, entries, agenda)
//	ch := queue.NewChannel(1, outlet)
//	err := q.Consume(&queue.Consumer{Tag: "c1", Channel: ch})
//	q.Push(queue.Message{LSN: lsn, Size: size})
//	agenda.Dispatch(nowMs)       // the outlet has a Delivery now
//	err = ch.Settle(1, false, queue.Acked)
package queue
