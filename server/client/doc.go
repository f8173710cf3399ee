// Package client answers how one talks to a broker: it dials, with TLS or without, logs in, calls methods, reads frames,
// and publishes messages as the octets that they are. Any broker of AMQP 0-9-1 will do.
//
// It is for programs of ours that want the protocol itself, not a view of it: the load generator, which parses what
// it reads where it lies, and the tools that carry messages from one broker to another without re-encoding a property.
// It knows no files and no logs, and it retries nothing.
//
//	address, err := client.ParseURL("amqp://guest:guest@127.0.0.1:5672/", client.TLS{})
//	conn, err := client.Dial(ctx, address, client.Config{Product: "mine"})
//	_, err = conn.Call(client.FirstChannel, &amqp.QueueDeclare{Queue: "q", Durable: true}, amqp.QueueDeclareOkID)
//
//	p, err := client.NewPublisher(conn, client.PublisherConfig{Window: 1000})
//	tag, err := p.Publish(ctx, client.Publishing{Keys: keys, Header: header, Body: body, Mandatory: true})
//	err = p.Wait(ctx) // until all is confirmed
//
// A [Conn] starts no goroutine: one reads from it at a time, several may write. A [Publisher] takes its connection over
// and has a goroutine that reads until the connection ends; Close waits for it. What a Publish takes is at least in the
// buffer when it returns, so callers may reuse what they gave. Errors of the broker are a [*Closed], with the code and
// the text that it sent.
package client
