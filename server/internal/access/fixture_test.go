package access_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// method stands for whatever is being executed.
const method = amqp.BasicPublishID

// zeros is a random source for tests that do not care.
func zeros() *bytes.Reader { return bytes.NewReader(make([]byte, 64)) }

// build returns a control with the changes made, each of which must make sense.
func build(t testing.TB, changes ...access.Change) *access.Control {
	t.Helper()
	control := access.New(access.Config{LoopbackUsers: access.DefaultLoopbackUsers()})
	apply(t, control, changes...)
	return control
}

func apply(t testing.TB, control *access.Control, changes ...access.Change) {
	t.Helper()
	for _, c := range changes {
		if err := valid(control.State(), c); err != nil {
			t.Fatal(err)
		}
		if err := control.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
}

// user is one without a password.
func user(name string, tags ...string) access.PutUser {
	return access.PutUser{User: access.User{Name: name, Hashing: access.SHA256, Tags: tags}}
}

func vhost(name string) access.PutVHost {
	return access.PutVHost{VHost: access.VHost{Name: name, ID: 1}}
}

func permit(user, vhost, configure, write, read string) access.SetPermission {
	return access.SetPermission{Permission: access.Permission{
		User: user, VHost: vhost, Configure: configure, Write: write, Read: read,
	}}
}

func permitTopic(user, vhost, exchange, write, read string) access.SetTopicPermission {
	return access.SetTopicPermission{Permission: access.TopicPermission{
		User: user, VHost: vhost, Exchange: exchange, Write: write, Read: read,
	}}
}

// wantRefusal checks an error that a client sees; an empty text means none.
func wantRefusal(t *testing.T, err error, code amqp.ReplyCode, method amqp.MethodID, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		t.Errorf("got %v, want %s", err, text)
		return
	}
	if refusal.Code != code || refusal.Method != method || refusal.Text != text {
		t.Errorf("got %d %s %q, want %d %s %q", refusal.Code, refusal.Method, refusal.Text, code, method, text)
	}
}

// valid is the error of a change that makes no sense.
func valid(s *access.State, c access.Change) error {
	_, err := s.ValidWith(c)
	return err
}
