package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// link is a connection with the producers and consumers that use it, each by a channel of its own.
type link struct {
	// Immutable.
	conn     *client.Conn
	ends     []end     // channel n is that of ends[n-1]
	recorder *recorder // nil when nobody measures latency
	clock    clock
	deaf     bool // nothing is read once it runs

	// Owned by the reading goroutine.
	now       time.Duration // of the last read, when latency is measured
	out       []byte        // staged acknowledgements
	consuming int           // consumers that have not ended
}

// end is what uses a channel. The reading goroutine calls it.
type end interface {
	// frame takes a frame of its channel; the link's recorder is locked.
	frame(f amqp.Frame) error
	// turn is called when all has been handled that one read brought.
	turn()
	// lost is called when nothing will be read any more.
	lost()
}

// open opens the channel of one more end.
func (l *link) open(make func(channel uint16) (end, error)) error {
	channel := uint16(len(l.ends) + 1)
	if channel > client.FirstChannel {
		if _, err := l.call(channel, &amqp.ChannelOpen{}, amqp.ChannelOpenOkID); err != nil {
			return err
		}
	}
	e, err := make(channel)
	if err != nil {
		return err
	}
	l.ends = append(l.ends, e)
	return nil
}

// call is for the time before run: what comes for other channels meanwhile goes there.
func (l *link) call(channel uint16, m amqp.Method, answer amqp.MethodID) (amqp.Method, error) {
	if err := l.conn.Send(channel, m); err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	got, err := l.conn.Await(answer, func(f amqp.Frame) error {
		l.lock()
		defer l.unlock()
		_, err := l.frame(f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	return got, nil
}

// run reads until the connection has been closed in good order, which wind asks for.
func (l *link) run() error {
	err := l.receive()
	l.conn.HangUp() // a sender may be stuck in a write
	for _, e := range l.ends {
		e.lost()
	}
	return err
}

func (l *link) receive() error {
	for {
		// What came together with consume-ok is in the buffer already: so input is handled before it is read.
		if done, err := l.handleInput(); done || err != nil {
			return err
		}
		if err := l.conn.Fill(); err != nil {
			return err
		}
	}
}

// handleInput handles what was read, and acknowledges it with one write.
func (l *link) handleInput() (done bool, err error) {
	l.lock()
	done, err = l.frames()
	l.unlock()
	if err != nil {
		return false, err
	}
	if len(l.out) > 0 {
		err = l.conn.Write(l.out)
		l.out = l.out[:0]
	}
	for _, e := range l.ends {
		e.turn()
	}
	return done, err
}

func (l *link) lock() {
	if l.recorder != nil {
		l.now = l.clock.now()
		l.recorder.mu.Lock()
	}
}

func (l *link) unlock() {
	if l.recorder != nil {
		l.recorder.mu.Unlock()
	}
}

func (l *link) frames() (done bool, err error) {
	for {
		f, ok, err := l.conn.Next()
		if err != nil || !ok {
			return false, err
		}
		if done, err := l.frame(f); done || err != nil {
			return done, err
		}
	}
}

// frame hands a frame to whose it is; done is the end of the connection.
func (l *link) frame(f amqp.Frame) (done bool, err error) {
	if f.Channel == 0 {
		return f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == amqp.ConnectionCloseOkID, client.CloseOf(f)
	}
	if int(f.Channel) > len(l.ends) {
		if err := client.CloseOf(f); err != nil {
			return false, err
		}
		return false, fmt.Errorf("a frame for channel %d, which is not open", f.Channel)
	}
	return false, l.ends[f.Channel-1].frame(f)
}

// wind ends the link in good order from outside: consumers are cancelled, what was delivered until then
// is acknowledged, and the connection is closed.
func (l *link) wind() error {
	l.conn.SetTimeout(client.CallTimeout)
	consumers := 0
	for i, e := range l.ends {
		if _, ok := e.(*consumer); !ok {
			continue
		}
		consumers++
		if err := l.conn.Send(uint16(i+1), &amqp.BasicCancel{ConsumerTag: consumerTag}); err != nil {
			return err
		}
	}
	if consumers > 0 {
		return nil // the last one to end says goodbye
	}
	return l.conn.Send(0, client.Goodbye())
}

// leave is called by each consumer that has ended.
func (l *link) leave() {
	if l.consuming--; l.consuming == 0 {
		l.out = amqp.AppendMethod(l.out, 0, client.Goodbye())
	}
}

var errLinkLost = errors.New("the connection ended before all was done")
