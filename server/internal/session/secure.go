package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
)

// secureConnection makes the TLS handshake, if the connection came to such a port, and takes the client's
// certificate out of it. The time that clients have to open their connection counts already (HDR-05).
func (c *conn) secureConnection() error {
	secure, ok := c.net.(*tls.Conn)
	if !ok {
		return nil
	}
	c.secure = true
	err := secure.Handshake()
	var other tls.RecordHeaderError
	switch {
	case err == nil:
	case errors.As(err, &other) && string(other.RecordHeader[:4]) == "AMQP":
		c.logger.Warn("a client without TLS came to the TLS port")
		return errEnd
	case errors.Is(err, io.EOF): // it came and went, as those do who look whether somebody listens
		return err
	default:
		return fmt.Errorf("TLS handshake: %w", err)
	}
	// Only a certificate that was verified says who its owner is.
	if chains := secure.ConnectionState().VerifiedChains; len(chains) > 0 {
		c.certificate = chains[0][0]
	}
	return nil
}
