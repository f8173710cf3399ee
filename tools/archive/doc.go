// Package archive answers what is in a portable archive of messages: it writes and reads the files that carry messages
// from one broker's log to another place. Each message keeps its content header and body octet for octet, and with them
// where it came from: record number, time, virtual host, exchange, routing key and the queues that it went to.
//
// docs/archive.md has every byte: a magic number, then blocks with checksums, compressed by zstd; what is in a block is
// in the wire format of Protocol Buffers, so that other languages read it with a page of code. A Writer needs a stream and
// no more, and so does a Reader; either keeps one block in memory, which is about a mebibyte or one message.
//
// An archive says what it is in its head and ends with a count of all that it holds, so one that was cut off is
// noticed, as is a byte that is not what it was. What is damaged costs the messages of its block and no others, if the
// caller wants to go on. Fields and blocks of a later version are passed over, unless they say that this must not be.
//
//	w, err := archive.NewWriter(file, archive.Head{Source: "millrace-data", Created: now})
//	…
//	err = w.Write(&archive.Message{LSN: 17, Exchange: "orders", Key: "order.created.eu", Header: header, Body: body})
//	err = w.Close()
//
//	r, err := archive.NewReader(file)
//	for {
//		m, err := r.Next()
//		if err == io.EOF { break } // and all was there
//		…
//	}
//
// Nothing here knows a log or a broker, reads a clock or starts a goroutine. One goroutine uses a Writer or a Reader.
package archive
