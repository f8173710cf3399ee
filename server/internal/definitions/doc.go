// Package definitions answers one question: what does this file say should exist? It reads the JSON in which
// RabbitMQ exports and imports its definitions: users, virtual hosts, permissions, limits, policies, exchanges,
// queues and bindings.
//
// It is plain code: it opens no file, reads no clock, takes no lock and starts no goroutine. It checks
// everything that can be checked without knowing what exists already. The rest, and bringing it about, is the
// broker's; there definitions become changes of the log like any other.
//
// The server calls it, at its start and whenever it is told to read the file again:
//
//	d, err := definitions.Parse("definitions.json", data)
//	if err != nil { … } // a *Faulty: definitions.json:12:7: queues[3].arguments.x-message-ttl: …
//	err = b.ApplyDefinitions(d, previous)
//
// # What is read
//
// Numbers become what RabbitMQ makes of them: long if they are whole, else double. A null is as good as
// nothing, except in arguments, which cannot hold one. Flags that are not there have the value of an object
// that lasts: durable, and neither auto-delete nor internal.
//
// Keys that are not known are noted and passed over, for files of other versions have some. So are global
// parameters. What RabbitMQ would act on and Millrace cannot, such as a shovel, is a fault: nobody should find
// out later that messages do not move. A key that is given twice is a fault too.
package definitions
