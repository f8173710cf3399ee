package access

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Why a login is refused, besides ErrNoUser. The log says so; the client learns only that it is.
var (
	ErrWrongPassword = errors.New("wrong password")
	ErrBlankPassword = errors.New("blank password")
	ErrNoPassword    = errors.New("the user has no password to log in with")
	ErrLoopbackOnly  = errors.New("the user may connect from this machine only")
)

// Credentials say who somebody is, and prove it.
type Credentials struct {
	Name     string
	Password string
	// Vouched says that a certificate has proved the name; there is no password.
	Vouched bool
}

// Authenticate finds the user whom credentials prove (CONN-06). loopback says that they come from this
// machine.
func (c *Control) Authenticate(with Credentials, loopback bool) (User, error) {
	user, ok := c.State().User(with.Name)
	var err error
	switch {
	case with.Vouched && ok:
	case !with.Vouched && with.Password == "":
		err = ErrBlankPassword
	case !ok:
		// As slow as for those who exist: the time does not tell who does.
		User{PasswordHash: nobodysHash}.Verify(with.Password)
		err = ErrNoUser
	case user.PasswordHash == "":
		err = ErrNoPassword
	case !user.Verify(with.Password):
		err = ErrWrongPassword
	}
	if err == nil && !loopback && c.loopback[with.Name] {
		err = ErrLoopbackOnly
	}
	if err != nil {
		return User{}, fmt.Errorf("login of %.255q: %w", with.Name, err)
	}
	return user, nil
}

// nobodysHash is of the right form and of no password that anybody knows.
const nobodysHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// LoginRefused is what a client is told whose login failed, whatever the reason (CONN-06). Errors are
// *amqp.Error.
func LoginRefused(mechanism string) error {
	return amqp.Errorf(amqp.AccessRefused, 0,
		"Login was refused using authentication mechanism %s. For details see the broker logfile.", mechanism)
}

// FirstStart is what a broker without anything has (AUTH-06).
type FirstStart struct {
	VHost      VHost
	User       string
	Password   string
	Tags       []string
	Permission struct{ Configure, Write, Read string }
}

// DefaultFirstStart is RabbitMQ's: guest, whose password is guest, administers and may do anything in the
// virtual host /. The host has the id 1.
func DefaultFirstStart() FirstStart {
	f := FirstStart{
		VHost: VHost{Name: "/", ID: 1, Description: "Default virtual host"},
		User:  "guest", Password: "guest", Tags: []string{TagAdministrator},
	}
	f.Permission.Configure, f.Permission.Write, f.Permission.Read = ".*", ".*", ".*"
	return f
}

// DefaultLoopbackUsers are those whose password everybody knows.
func DefaultLoopbackUsers() []string { return []string{"guest"} }

// Changes returns the changes to log. The password is hashed with octets from random.
func (f FirstStart) Changes(random io.Reader) ([]Change, error) {
	hash, err := HashPassword(random, SHA256, f.Password)
	if err != nil {
		return nil, err
	}
	return []Change{
		PutVHost{f.VHost},
		PutUser{User{Name: f.User, PasswordHash: hash, Hashing: SHA256, Tags: f.Tags}},
		SetPermission{Permission{
			User: f.User, VHost: f.VHost.Name,
			Configure: f.Permission.Configure, Write: f.Permission.Write, Read: f.Permission.Read,
		}},
	}, nil
}
