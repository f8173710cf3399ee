package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Config is how a connection is made.
type Config struct {
	Product  string // what the client calls itself
	Name     string // of the connection; "" is none
	ReadSize int    // of the read buffer in octets, which grows to what a frame needs; 0 is 256 KiB
}

// Dial connects, logs in and opens [FirstChannel]. When the context ends, so does the connection.
//
// It agrees to no heartbeats: a broker under load is not to be declared dead by the one that loads it, and a peer that
// is gone is noticed by TCP.
func Dial(ctx context.Context, a Address, config Config) (*Conn, error) {
	soon, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	nc, err := connect(soon, a)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Host, err)
	}
	c := NewConn(nc, MaxFrame, config.ReadSize)
	c.hangUpWith(ctx)
	if err := c.logIn(a, config); err != nil {
		c.HangUp()
		return nil, fmt.Errorf("log in at %s: %w", a.Host, err)
	}
	return c, nil
}

// Identify asks a broker for its product and version.
func Identify(ctx context.Context, a Address, config Config) (string, error) {
	c, err := Dial(ctx, a, config)
	if err != nil {
		return "", err
	}
	return c.Identity(), c.Close()
}

// Identity is the broker's product and version.
func (c *Conn) Identity() string {
	name := ""
	for _, keys := range [][2]string{{"broker", "broker_version"}, {"product", "version"}} { // Millrace's product is one that clients know
		product, _ := c.server[keys[0]].(string)
		version, _ := c.server[keys[1]].(string)
		if name == "" {
			name = strings.TrimSpace(product + " " + version)
		}
	}
	if platform, _ := c.server["platform"].(string); platform != "" {
		name += " (" + platform + ")"
	}
	return name
}

func connect(ctx context.Context, a Address) (net.Conn, error) {
	if a.TLS != nil {
		return (&tls.Dialer{Config: a.TLS}).DialContext(ctx, "tcp", a.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", a.Host)
}

func (c *Conn) logIn(a Address, config Config) error {
	c.SetTimeout(CallTimeout)
	_ = c.Write([]byte(amqp.ProtocolHeader)) // what went wrong shows when the answer is read
	m, err := c.Await(amqp.ConnectionStartID, nil)
	if err != nil {
		return early(err, "nobody speaks AMQP 0-9-1 there without TLS, or with it")
	}
	c.server = m.(*amqp.ConnectionStart).ServerProperties
	if err := c.Send(0, startOk(a, config)); err != nil {
		return err
	}
	if m, err = c.Await(amqp.ConnectionTuneID, nil); err != nil {
		return early(err, "access was refused to user "+a.User)
	}
	tune := m.(*amqp.ConnectionTune)
	if tune.FrameMax != 0 {
		if tune.FrameMax < amqp.MinFrameMax { // each octet of a body may become a frame
			return fmt.Errorf("the broker takes frames of %d octets at most, and %d is the least in AMQP", tune.FrameMax, amqp.MinFrameMax)
		}
		c.frameMax = min(c.frameMax, tune.FrameMax)
	}
	if err := c.Send(0, &amqp.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: c.frameMax}); err != nil {
		return err
	}
	if _, err := c.Call(0, &amqp.ConnectionOpen{VirtualHost: a.VHost}, amqp.ConnectionOpenOkID); err != nil {
		return early(err, "it may be that there is no virtual host "+a.VHost)
	}
	if _, err := c.Call(FirstChannel, &amqp.ChannelOpen{}, amqp.ChannelOpenOkID); err != nil {
		return err
	}
	c.SetTimeout(0)
	return nil
}

func startOk(a Address, config Config) *amqp.ConnectionStartOk {
	properties := amqp.Table{
		"product": config.Product,
		"capabilities": amqp.Table{
			"basic.nack": true, "publisher_confirms": true, "consumer_cancel_notify": true,
			"connection.blocked": true, "authentication_failure_close": true,
		},
	}
	if config.Name != "" {
		properties["connection_name"] = config.Name
	}
	return &amqp.ConnectionStartOk{
		ClientProperties: properties, Mechanism: "PLAIN", Response: "\x00" + a.User + "\x00" + a.Password, Locale: "en_US",
	}
}

// early explains a connection that ends during the handshake without a word.
func early(err error, probably string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("the connection was closed: %s", probably)
	}
	return err
}
