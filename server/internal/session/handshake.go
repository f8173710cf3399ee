package session

import (
	"io"
	"net"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

// protocolHeader handles the first eight octets; done is false if they are not all there yet.
func (c *conn) protocolHeader() (done bool, err error) {
	protocol, n := amqp.ParseProtocolHeader(c.in.unread())
	if n == 0 {
		return false, nil
	}
	switch protocol {
	case amqp.ProtocolAMQP091, amqp.ProtocolAMQP09:
		c.in.advance(n)
		c.out.method(0, &amqp.ConnectionStart{
			VersionMajor: 0, VersionMinor: 9,
			ServerProperties: c.serverProperties(), Mechanisms: c.cfg.SASL.OfferedText(c.cfg.Listener), Locales: "en_US",
		})
		c.state = awaitStartOk
		return true, nil
	}
	if protocol == amqp.ProtocolTLS {
		c.logger.Warn("a TLS client came to a port without TLS")
	} else {
		c.logger.Warn("client does not speak AMQP 0-9-1", "speaks", protocol.String())
	}
	c.out.add(func(dst []byte) []byte { return append(dst, amqp.ProtocolHeader...) }) // HDR-02, HDR-04
	return false, errEnd
}

// serverProperties is what clients branch on (CONN-02, CONN-03): hence the product's name.
func (c *conn) serverProperties() amqp.Table {
	capabilities := amqp.Table{}
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
		"direct_reply_to",
	} {
		capabilities[name] = true
	}
	return amqp.Table{
		"capabilities":   capabilities,
		"product":        "RabbitMQ",
		"version":        "4.1.0",
		"cluster_name":   c.cfg.ClusterName,
		"platform":       "Go",
		"copyright":      "The Millrace authors",
		"information":    "Licensed under the Apache License 2.0",
		"broker":         "Millrace",
		"broker_version": c.cfg.Version,
		"sync":           c.broker.SyncLevel(), // what a confirm stands for
	}
}

// method handles a method of the connection class on channel 0.
func (c *conn) method(payload []byte) error {
	m, err := amqp.DecodeMethod(payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *amqp.ConnectionStartOk:
		if c.state == awaitStartOk {
			return c.startOk(m)
		}
	case *amqp.ConnectionTuneOk:
		if c.state == awaitTuneOk {
			return c.tuneOk(m)
		}
	case *amqp.ConnectionOpen:
		if c.state == awaitOpen {
			return c.openOk(m)
		}
	case *amqp.ConnectionClose:
		c.closeChannels() // before the answer: exclusive names are free when the client sees it (ERR-08)
		c.out.method(0, &amqp.ConnectionCloseOk{})
		c.state = ended
		return errEnd
	case *amqp.ConnectionCloseOk:
		if c.stopping.Load() {
			return errEnd
		}
	case *amqp.ConnectionUpdateSecret:
		if c.state == running {
			return c.updateSecret()
		}
	}
	if c.state != running {
		c.logger.Warn("method out of order in the handshake", "method", m.ID().String())
		return errEnd // CONN-09
	}
	return amqp.Errorf(amqp.ChannelError, m.ID(), "unexpected method in connection state running") // CONN-14
}

func (c *conn) startOk(m *amqp.ConnectionStartOk) error {
	if capabilities, ok := m.ClientProperties["capabilities"].(amqp.Table); ok {
		c.features.cancelNotify, _ = capabilities["consumer_cancel_notify"].(bool)
		c.features.authClose, _ = capabilities["authentication_failure_close"].(bool)
		c.features.blocked, _ = capabilities["connection.blocked"].(bool)
	}
	name, named := m.ClientProperties["connection_name"].(string)
	if named {
		c.logger = c.logger.With("name", name)
	}
	credentials, err := c.cfg.SASL.Credentials(c.cfg.Listener, m.Mechanism, m.Response, c.certificate)
	if err == nil {
		c.user, err = c.broker.Authenticate(credentials, isLoopback(c.net.RemoteAddr()))
	}
	if err != nil {
		return c.refuse(m.Mechanism, err)
	}
	c.user.Peer, c.user.Connection = c.net.RemoteAddr().String(), name
	c.out.method(0, &amqp.ConnectionTune{
		ChannelMax: uint16(c.cfg.ChannelMax), FrameMax: c.cfg.FrameMax, Heartbeat: uint16(c.cfg.Heartbeat / time.Second),
	})
	c.state = awaitTuneOk
	return nil
}

// refuse ends a connection whose login failed (CONN-06, CONN-07). The answer is delayed so that
// guessing passwords is slow (ERR-10).
func (c *conn) refuse(mechanism string, why error) error {
	c.logger.Warn("login refused", "error", why)
	c.hesitate(c.cfg.AuthFailureDelay)
	if !c.features.authClose {
		return errEnd
	}
	return access.LoginRefused(mechanism)
}

// updateSecret does not verify the new secret, as RabbitMQ's internal backend does not, but looks at what its
// user may do now (CONN-10): to be here at all, and to go on reading.
func (c *conn) updateSecret() error {
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.client.MayStay(); err != nil {
		return err
	}
	c.out.method(0, &amqp.ConnectionUpdateSecretOk{})
	for _, ch := range c.channels {
		for tag, consumer := range ch.consumers {
			if ch.closing || c.client.MayStillRead(consumer) {
				continue
			}
			delete(ch.consumers, tag)
			c.client.CancelConsumer(consumer)
			c.Cancel(ch.Number, tag)
		}
	}
	return nil
}

// hesitate lets a while pass, unless the client hangs up or the server shuts down. What comes meanwhile is
// not heard.
func (c *conn) hesitate(delay time.Duration) {
	if delay > 0 {
		c.setReadDeadline(time.Now().Add(delay))
		_, _ = io.Copy(io.Discard, c.net)
	}
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// tuneOk checks what the client chose (CONN-12).
func (c *conn) tuneOk(m *amqp.ConnectionTuneOk) error {
	channelMax, frameMax := c.cfg.ChannelMax, c.cfg.FrameMax
	switch {
	case channelMax > 0 && m.ChannelMax == 0:
		return tuneRefused("channel_max = 0 (no limit) is higher than the maximum allowed value (%d)", channelMax)
	case channelMax > 0 && int(m.ChannelMax) > channelMax:
		return tuneRefused("channel_max = %d is higher than the maximum allowed value (%d)", m.ChannelMax, channelMax)
	case frameMax > 0 && m.FrameMax == 0:
		return tuneRefused("frame_max = 0 (no limit) is higher than the maximum allowed value (%d)", frameMax)
	case frameMax > 0 && m.FrameMax > frameMax:
		return tuneRefused("frame_max = %d is higher than the maximum allowed value (%d)", m.FrameMax, frameMax)
	case m.FrameMax > 0 && m.FrameMax < minFrameMax:
		return tuneRefused("frame_max = %d is lower than the minimum allowed value (%d)", m.FrameMax, minFrameMax)
	}
	c.channelMax = int(m.ChannelMax)
	c.frameMax = m.FrameMax
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	if c.heartbeat > 0 {
		c.intervals <- c.heartbeat / 2
	}
	c.state = awaitOpen
	return nil
}

func tuneRefused(format string, args ...any) error {
	return amqp.Errorf(amqp.NotAllowed, amqp.ConnectionTuneOkID, "negotiated "+format, args...)
}

func (c *conn) openOk(m *amqp.ConnectionOpen) error {
	client, err := c.broker.Connect(c.user, m.VirtualHost, c)
	if err != nil {
		return err
	}
	c.client = client
	c.logger = c.logger.With("user", c.user.Name, "vhost", strings.ToValidUTF8(m.VirtualHost, "?"))
	c.logger.Debug("connection open")
	c.out.method(0, &amqp.ConnectionOpenOk{})
	c.state = running
	c.in.most = maxInput
	c.setReadDeadline(time.Time{}) // the handshake's; extendDeadline sets the next
	return nil
}

var _ broker.Sink = (*conn)(nil)
