package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Mechanism is a way to log in.
type Mechanism string

// The mechanisms (CONN-05).
const (
	Plain     Mechanism = "PLAIN"
	AMQPlain  Mechanism = "AMQPLAIN"
	External  Mechanism = "EXTERNAL"
	Anonymous Mechanism = "ANONYMOUS"
)

// Listener is the kind of port that a client came to.
type Listener uint8

// The kinds of listeners.
const (
	ListenerTCP        Listener = iota
	ListenerTLS                 // does not ask clients for certificates
	ListenerTLSClients          // asks for certificates and verifies them
)

// SASL says how clients log in. The zero value offers PLAIN and AMQPLAIN everywhere.
type SASL struct {
	// Mechanisms are those to offer, in this order; empty means PLAIN and AMQPLAIN (CONN-01).
	Mechanisms []Mechanism
	// Certificate is how EXTERNAL finds a name.
	Certificate CertificateName
	// Anonymous is who logs in with ANONYMOUS.
	Anonymous Credentials
}

// Validate reports all faults together.
func (s SASL) Validate() error {
	var faults []error
	for _, m := range s.Mechanisms {
		switch m {
		case Plain, AMQPlain, External:
		case Anonymous:
			if s.Anonymous.Name == "" {
				faults = append(faults, errors.New("mechanism ANONYMOUS is on, but there is no anonymous user"))
			}
		default:
			faults = append(faults, fmt.Errorf("unknown mechanism %q; known are PLAIN, AMQPLAIN, EXTERNAL and ANONYMOUS", m))
		}
	}
	faults = append(faults, s.Certificate.Validate())
	return errors.Join(faults...)
}

// Offered returns the mechanisms that clients of a listener may choose from. EXTERNAL needs a listener
// that verifies certificates.
func (s SASL) Offered(l Listener) []Mechanism {
	mechanisms := s.Mechanisms
	if len(mechanisms) == 0 {
		mechanisms = []Mechanism{Plain, AMQPlain}
	}
	return slices.DeleteFunc(slices.Clone(mechanisms), func(m Mechanism) bool {
		return m == External && l != ListenerTLSClients
	})
}

// OfferedText returns the same as connection.start has it.
func (s SASL) OfferedText(l Listener) string {
	var names []string
	for _, m := range s.Offered(l) {
		names = append(names, string(m))
	}
	return strings.Join(names, " ")
}

// Credentials reads a response (CONN-05). certificate is the client's, verified, or nil. The error says
// why it is refused (CONN-07), for the log: it holds nothing of the response.
func (s SASL) Credentials(l Listener, mechanism, response string, certificate *x509.Certificate) (Credentials, error) {
	if !slices.Contains(s.Offered(l), Mechanism(mechanism)) {
		return Credentials{}, fmt.Errorf("mechanism %.255q was not offered", mechanism)
	}
	credentials, err := s.read(Mechanism(mechanism), response, certificate)
	if err != nil {
		return Credentials{}, fmt.Errorf("response of %s: %w", mechanism, err)
	}
	return credentials, nil
}

func (s SASL) read(m Mechanism, response string, certificate *x509.Certificate) (Credentials, error) {
	switch m {
	case Plain:
		return plain(response)
	case AMQPlain:
		return amqplain(response)
	case Anonymous:
		return s.Anonymous, nil
	}
	if certificate == nil {
		return Credentials{}, errors.New("the client has shown no certificate")
	}
	name, err := s.Certificate.Of(certificate)
	return Credentials{Name: name, Vouched: true}, err
}

// plain reads NUL user NUL password; nobody may speak for another, so nothing stands before the first.
func plain(response string) (Credentials, error) {
	parts := strings.Split(response, "\x00")
	if len(parts) != 3 || parts[0] != "" {
		return Credentials{}, errors.New("not of the form NUL user NUL password")
	}
	return Credentials{Name: parts[1], Password: parts[2]}, nil
}

// amqplain reads a field table without its length.
func amqplain(response string) (Credentials, error) {
	table := amqp.RawTable(response)
	name, err := longstr(table, "LOGIN")
	if err != nil {
		return Credentials{}, err
	}
	password, err := longstr(table, "PASSWORD")
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Name: name, Password: password}, nil
}

func longstr(table amqp.RawTable, key string) (string, error) {
	value, found, err := table.Lookup(key)
	if err != nil {
		return "", errors.New("not a field table")
	}
	text, ok := value.Longstr()
	if !found || !ok {
		return "", fmt.Errorf("%s is missing or not a longstr", key)
	}
	return string(text), nil
}
