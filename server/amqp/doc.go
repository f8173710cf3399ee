// Package amqp is the wire codec of AMQP 0-9-1 with RabbitMQ's extensions: frames, methods, field
// tables, content headers, reply codes and errors, in both directions.
//
// It knows octets and no semantics: which frame is due, which limits were negotiated and what a method
// does is the business of its callers, the server's sessions and the load generator. It opens no
// connection, starts no goroutine and keeps no state; all of its values may be used by one goroutine
// at a time.
//
// Encoding appends to the caller's slice and cannot fail. Decoding reads from a slice, compares every
// length with what is there before it makes use of it, and returns faults as *Error with the text that
// RabbitMQ gives. What a result borrows from that slice is said where it is declared; it lives until
// the caller overwrites the slice.
//
// The frames of a read buffer are parsed in place:
//
//	for {
//		frame, n, err := amqp.ParseFrame(buf, frameMax)
//		if err != nil || n == 0 {
//			return buf, err // n == 0: read more, at least up to amqp.FrameSize(buf) octets
//		}
//		buf = buf[n:]
//		if frame.Type == amqp.FrameMethod && amqp.PeekMethod(frame.Payload) == amqp.BasicAckID {
//			err = ack.Decode(frame.Payload) // no allocation
//		}
//		…
//	}
//
// and frames are appended to a write buffer:
//
//	start := len(out)
//	out = amqp.BeginFrame(out, amqp.FrameMethod, channel)
//	out = amqp.AppendDeliver(out, tag, deliveryTag, redelivered, publish.Keys)
//	out = amqp.EndFrame(out, start)
//	out = amqp.AppendContent(out, channel, header, body, frameMax)
//
// What goes out once a message, or is stored, keeps the form that it came in: exchange and routing key
// as Keys, the content header as Header.Raw, tables as RawTable.
package amqp
