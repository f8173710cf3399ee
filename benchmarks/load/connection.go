package load

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

const (
	// readSize is the read buffer: as large as what a broker may have written since the last read, small
	// enough to stay in a cache. A thousand connections have smaller ones, which grow to what a frame needs.
	readSize      = 256 << 10
	leastReadSize = 8 << 10
	allReadSizes  = 64 << 20
	// Product is what the generator calls itself.
	Product = "millrace bench"
)

// dial connects, logs in and opens the first channel. The connection is one of so many.
// When the context ends, so does the connection.
func dial(ctx context.Context, a client.Address, of int) (*client.Conn, error) {
	size := min(max(allReadSizes/of, leastReadSize), readSize)
	return client.Dial(ctx, a, client.Config{Product: Product, ReadSize: size})
}

// callEach sends n methods and takes their answers, some at the same time.
func callEach(c *client.Conn, n int, answer amqp.MethodID, method func(i int) amqp.Method) error {
	var out []byte
	for from := 0; from < n; from += pipelined {
		to := min(from+pipelined, n)
		out = out[:0]
		for i := from; i < to; i++ {
			out = amqp.AppendMethod(out, client.FirstChannel, method(i))
		}
		if err := c.Write(out); err != nil {
			return err
		}
		for i := from; i < to; i++ {
			if _, err := c.Await(answer, nil); err != nil {
				return fmt.Errorf("%v %d of %d: %w", method(i).ID(), i+1, n, err)
			}
		}
	}
	return nil
}
