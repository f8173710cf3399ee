package main_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// address is where the broker listens, for tests that speak bytes.
func (b *Broker) address(t testing.TB) string {
	t.Helper()
	parsed, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}

// dialError connects with other parts in the URL and returns the refusal.
func (b *Broker) dialError(t testing.TB, change func(*url.URL)) error {
	t.Helper()
	parsed, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	change(parsed)
	conn, err := amqp.DialConfig(parsed.String(), amqp.Config{Vhost: strings.TrimPrefix(parsed.Path, "/")})
	if err == nil {
		_ = conn.Close()
		t.Fatalf("connected to %s", parsed)
	}
	return err
}

// CONN-02, CONN-03, CONN-11
func TestHandshakeShowsRabbitMQToItsClients(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connectWith(t, amqp.Config{Heartbeat: 1}) // below a second: the server's wish
	properties := c.conn.Properties
	if properties["product"] != "RabbitMQ" {
		t.Errorf("product is %v", properties["product"])
	}
	for _, key := range []string{"version", "platform", "copyright", "information", "cluster_name"} {
		if text, _ := properties[key].(string); text == "" {
			t.Errorf("server property %s is %v", key, properties[key])
		}
	}
	capabilities, _ := properties["capabilities"].(amqp.Table)
	for _, key := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		if capabilities[key] != true {
			t.Errorf("capability %s is %v", key, capabilities[key])
		}
	}
	config := c.conn.Config
	if config.ChannelMax != 2047 || config.FrameSize != 131072 || config.Heartbeat != time.Minute {
		t.Errorf("tuned to channel-max %d, frame-max %d, heartbeat %v", config.ChannelMax, config.FrameSize, config.Heartbeat)
	}
}

// CONN-05, CONN-06
func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for name, login := range map[string]string{
		"wrong password": "\x00guest\x00wrong",
		"no password":    "\x00guest\x00",
		"unknown user":   "\x00nobody\x00guest",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// connection.close: code, text, class and method 0
			const text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. " +
				"For details see the broker logfile."
			want := "\x00\x0a\x00\x32\x01\x93" + string(rune(len(text))) + text + "\x00\x00\x00\x00"
			if got := b.login(t, login, "\x1cauthentication_failure_closet\x01"); got != want {
				t.Errorf("answer %q, want %q", got, want)
			}
			if got := b.login(t, login, ""); got != "" {
				t.Errorf("answer %q to a client that does not expect one", got)
			}
		})
	}
}

// login sends a PLAIN response with the client's capabilities (the body of
// a field table) and returns the payload of the frame that answers it, or ""
// when the server closes without one.
func (b *Broker) login(t *testing.T, response, capabilities string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", b.address(t), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "AMQP\x00\x00\x09\x01"); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(conn); err != nil { // connection.start
		t.Fatal(err)
	}
	long := func(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }
	startOk := "\x00\x0a\x00\x0b" + long("\x0ccapabilitiesF"+long(capabilities)) +
		"\x05PLAIN" + long(response) + "\x05en_US"
	(&tap{Conn: conn}).inject(t, frameMethod, 0, []byte(startOk)...)
	payload, err := readFrame(conn)
	if err != nil {
		return ""
	}
	return string(payload)
}

// readFrame reads one frame and returns its payload.
func readFrame(r io.Reader) ([]byte, error) {
	var header [7]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, binary.BigEndian.Uint32(header[3:])+1)
	_, err := io.ReadFull(r, payload)
	return payload[:len(payload)-1], err
}

// CONN-06: stock clients do not ask for the close; they see the socket end.
func TestWrongPasswordWithAStockClient(t *testing.T) {
	t.Parallel()
	err := newBroker(t).dialError(t, func(u *url.URL) { u.User = url.UserPassword("guest", "wrong") })
	if err != amqp.ErrCredentials {
		t.Errorf("got %v, want %v", err, amqp.ErrCredentials)
	}
}

// CONN-05
func TestAMQPLainLogin(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connectWith(t, amqp.Config{SASL: []amqp.Authentication{
		&amqp.AMQPlainAuth{Username: "guest", Password: "guest"},
	}})
	c.queue("q", queueSpec{})
}

// CONN-13
func TestUnknownVhostIsRefused(t *testing.T) {
	t.Parallel()
	err := newBroker(t).dialError(t, func(u *url.URL) { u.Path = "/nope" })
	wantError(t, err, 530, "NOT_ALLOWED - vhost nope not found")
}

// HDR-02, HDR-04
func TestStrangerIsToldTheProtocolVersion(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for name, greeting := range map[string]string{
		"other version": "AMQP\x00\x02\x00\x00",
		"HTTP":          "GET / HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", b.address(t), patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, greeting); err != nil {
				t.Fatal(err)
			}
			// The rest may be a reset: the server closes without reading on.
			answer := make([]byte, 8)
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "AMQP\x00\x00\x09\x01" {
				t.Fatalf("answer %q, %v", answer, err)
			}
			if n, err := conn.Read(answer); err == nil {
				t.Fatalf("%d bytes more: %q", n, answer[:n])
			}
		})
	}
}

// CONN-12, CONN-16
func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{Heartbeat: time.Second})
	if c.conn.Config.Heartbeat != time.Second {
		t.Fatalf("negotiated %v", c.conn.Config.Heartbeat)
	}
	for range 4 {
		await(t, "heartbeat of the server", tapped.heartbeats)
	}
	c.queue("q", queueSpec{})
}

// CONN-17
func TestSilentClientIsDroppedAfterItsHeartbeats(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{Heartbeat: time.Second})
	tapped.muted.Store(true)
	// No connection.close is sent: the library reports the end of the stream.
	if event := await(t, "end of the connection", c.closed); event.value == nil || event.value.Server {
		t.Fatalf("got %+v, want a connection that ends without a word", event.value)
	}
}

// CONN-12
func TestSmallerLimitsOfTheClientHold(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connectWith(t, amqp.Config{ChannelMax: 2, FrameSize: 4096})
	q := c.queue("q", queueSpec{})
	big := strings.Repeat("0123456789", 2000)
	b.connect(t).send("", q, big) // in frames larger than the consumer takes
	c.consumer(q, consumerSpec{noAck: true}).wantBodies(big)
}

// CHAN-01
func TestOneChannelTooManyClosesTheConnection(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{ChannelMax: 2})
	c.newChannel()
	tapped.inject(t, frameMethod, 3, 0, 20, 0, 10, 0) // channel.open
	c.wantConnectionClosed(530,
		"NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")
}

// CHAN-02
func TestMethodOnAChannelThatIsNotOpen(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{})
	tapped.inject(t, frameMethod, 77, 0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0) // basic.qos
	c.wantConnectionClosed(504, "CHANNEL_ERROR - expected 'channel.open'")
}

// ERR-03, CHAN-02: a channel that the server closed is as good as never opened.
func TestMethodOnAClosedChannel(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{})
	_, err := c.QueueDeclarePassive("nope", false, false, false, false, nil)
	wantError(t, err, 404, "NOT_FOUND - no queue 'nope' in vhost '/'")
	if err := c.Qos(1, 0, false); err != amqp.ErrClosed {
		t.Fatalf("the library sent on a closed channel: %v", err)
	}
	tapped.inject(t, frameMethod, 1, 0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0) // basic.qos
	c.wantConnectionClosed(504, "CHANNEL_ERROR - expected 'channel.open'")
}

// CHAN-02
func TestChannelOpenedTwice(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{})
	tapped.inject(t, frameMethod, 1, 0, 20, 0, 10, 0)
	c.wantConnectionClosed(504, "CHANNEL_ERROR - second 'channel.open' seen")
}

// ERR-06, CHAN-04: all numbering starts afresh.
func TestChannelNumberIsReusedAfterClose(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connectWith(t, amqp.Config{ChannelMax: 1})
	q := c.queue("q", queueSpec{})
	for range 50 {
		c.confirmMode()
		c.sendConfirmed("", q, amqp.Publishing{Body: []byte("body")}) // its confirm has number 1
		if tag := c.wantBodies(q, "body")[0].DeliveryTag; tag != 1 {
			t.Fatalf("first delivery tag is %d", tag)
		}
		c.must(c.Ack(0, true))
		c.must(c.Close())
		c.channel = c.newChannel()
	}
}

// ERR-04: the other channels of the connection go on.
func TestErrorOnOneChannelLeavesTheOthers(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	other := c.newChannel()
	q := other.queue("q", queueSpec{})
	c.send("nope", "key", "lost")
	c.wantClosed(404, "NOT_FOUND - no exchange 'nope' in vhost '/'")
	other.send("", q, "kept")
	other.wantBodies(q, "kept")
}

// 27: framing errors
func TestBrokenFramesCloseTheConnection(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	cases := map[string]struct {
		frame []byte
		code  int
		text  string
	}{
		"bad frame end": {
			[]byte{frameMethod, 0, 1, 0, 0, 0, 4, 0, 20, 0, 10, 0},
			501,
			"FRAME_ERROR - type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,0}",
		},
		"unknown type": {
			[]byte{4, 0, 1, 0, 0, 0, 3, 'a', 'b', 'c', frameEnd},
			501,
			`FRAME_ERROR - type 4, all octets = <<"abc">>: unknown_frame`,
		},
		"heartbeat on a channel": {
			[]byte{frameHeartbeat, 0, 1, 0, 0, 0, 0, frameEnd},
			505,
			"UNEXPECTED_FRAME - type 8, all octets = <<>>",
		},
		"body without a publish": {
			[]byte{frameBody, 0, 1, 0, 0, 0, 1, 'x', frameEnd},
			505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead",
		},
		"header without a publish": {
			[]byte{frameHeader, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, frameEnd},
			505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead",
		},
	}
	for name, broken := range cases {
		t.Run(name, func(t *testing.T) {
			c, tapped := b.connectTapped(t, amqp.Config{})
			tapped.injectBytes(t, broken.frame)
			c.wantConnectionClosed(broken.code, broken.text)
		})
	}
}

// ERR-08, QUEUE-10
func TestConnectionCloseIsAnsweredAfterTheCleanUp(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for range 20 {
		c := b.connect(t)
		c.queue("mine", queueSpec{exclusive: true})
		c.close()
	}
}

// 4.5
func TestShutdownTellsClientsWhy(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := newBroker(t)
	c := b.connect(t)
	if code := b.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	c.wantConnectionClosed(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
}

// CHAN-05: many channels of one connection, each with its own traffic.
func TestManyChannelsShareAConnection(t *testing.T) {
	t.Parallel()
	const channels = 200
	b := newBroker(t)
	c, publisher := b.connect(t), b.connect(t)
	var consumers []*consumer
	var queues []string
	for range channels {
		ch := c.newChannel()
		q := ch.declare("", queueSpec{exclusive: true})
		queues = append(queues, q)
		consumers = append(consumers, ch.consumer(q, consumerSpec{noAck: true}))
	}
	for range 5 {
		for _, q := range queues {
			publisher.send("", q, "for "+q)
		}
	}
	for i, consumer := range consumers {
		own := "for " + queues[i]
		consumer.wantBodies(own, own, own, own, own)
	}
}
