package broker

import (
	"crypto/subtle"

	"github.com/millrace-mq/millrace/server/amqp"
)

// User is who a connection speaks for.
type User struct {
	Name string
}

// The user that a new broker has (AUTH-06).
const (
	defaultUser     = "guest"
	defaultPassword = "guest"
)

// Authenticate checks a name and a password. The default user may come from this machine only, for
// everybody knows its password.
func (b *Broker) Authenticate(name, password string, loopback bool) (*User, bool) {
	ok := subtle.ConstantTimeCompare([]byte(name), []byte(defaultUser)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(defaultPassword))
	if ok != 1 || !loopback {
		return nil, false
	}
	return &User{Name: name}, true
}

// Connect finds the virtual host that a user wants to work in (CONN-13). Errors are *amqp.Error.
func (b *Broker) Connect(_ *User, name string) (*VHost, error) {
	for _, vh := range b.hosts() {
		if vh.Name == name {
			return vh, nil
		}
	}
	return nil, amqp.Errorf(amqp.NotAllowed, amqp.ConnectionOpenID, "vhost %s not found", name)
}
