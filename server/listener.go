package server

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/session"
)

// listener is a port that clients come to, and how they are spoken to there.
type listener struct {
	net.Listener
	tls     *tls.Config // nil for a port without
	session session.Config
}

// listen takes the ports: the one without TLS first.
func (c Config) listen() ([]*listener, error) {
	plain := &listener{session: session.Config{
		MaxMessageSize: uint64(c.MaxMessageSize), Heartbeat: c.Heartbeat, Version: c.Version, Logger: c.Logger, SASL: c.sasl(),
	}.WithDefaults()}
	var err error
	if plain.Listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, err
	}
	if c.TLSListen == "" {
		return []*listener{plain}, nil
	}
	secure := &listener{session: plain.session}
	if secure.tls, err = c.TLS.Load(); err == nil {
		secure.Listener, err = net.Listen("tcp", c.TLSListen)
	}
	if err != nil {
		plain.Close()
		return nil, err
	}
	secure.session.Listener = access.ListenerTLS
	if secure.tls.ClientAuth != tls.NoClientCert {
		secure.session.Listener = access.ListenerTLSClients
	}
	return []*listener{plain, secure}, nil
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// sasl offers EXTERNAL too: where clients' certificates are verified, that is.
func (c Config) sasl() access.SASL {
	return access.SASL{
		Mechanisms:  []access.Mechanism{access.Plain, access.AMQPlain, access.External},
		Certificate: access.CertificateName{From: access.CertificateSource(c.CertificateName)},
	}
}

func (c Config) validateTLS() []error {
	if c.TLSListen == "" {
		if c.TLS != (TLSConfig{}) {
			return []error{fmt.Errorf("tls: certificates are given, but no address to listen on")}
		}
		return nil
	}
	var faults []error
	if _, _, err := net.SplitHostPort(c.TLSListen); err != nil {
		faults = append(faults, fmt.Errorf("tls: listen address %q is not host:port: %w", c.TLSListen, err))
	}
	return append(faults, c.TLS.Validate())
}
