// Package session says what a client may do now: it is the state machine of an AMQP 0-9-1 connection
// and of its channels. It turns frames into calls of package broker and answers into frames. It knows no
// files and decides nothing about messages.
//
// # Goroutines
//
// Each connection has two. The reader, which is the caller of [Serve], owns all state of the
// connection and its channels: it reads, handles every frame of what it read, and then flushes what
// these frames staged to the broker in one batch. The writer waits for the outbox and writes what it
// holds. Whatever has to be sent goes through the outbox, from any goroutine, so that the order in which
// things are decided is the order on the wire.
//
// # Errors
//
// Handlers return *amqp.Error. Its code alone decides whether the channel or the connection is closed
// (ERR-03). A channel that has been closed by us discards everything but the answer; a connection does
// so too, for a limited time.
//
// # Back-pressure
//
// Publishers: the reader handles one buffer at a time and stands still in the append, so a client that
// publishes faster than the log can write is slowed down by TCP. While memory or disk are low, package
// alarm, the reader of a connection that publishes waits in a select until they are not, or until the
// connection ends (CONN-20); on a full disk with the batch that did not fit. One that publishes much stands still for
// some ms before it handles what it has read, while somebody else publishes little. Consumers: deliveries to a connection
// that does not read stop at the broker's limit for it. Replies: the reader stops reading when its peer does not take
// its answers.
package session
