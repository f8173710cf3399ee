package main_test

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// wantDial connects; if an error is wanted, it is the client's own or one of the server with that text.
func wantDial(t *testing.T, url string, config amqp.Config, want string) {
	t.Helper()
	conn, err := amqp.DialConfig(url, config)
	if err == nil {
		conn.Close()
	}
	got := ""
	var reply *amqp.Error
	switch {
	case errors.As(err, &reply):
		got = reply.Reason
	case err != nil:
		got = err.Error()
	}
	if got != want {
		t.Errorf("dial: got %q, want %q", got, want)
	}
}

func TestFirstUserIsSaidByFlags(t *testing.T) { // AUTH-06
	t.Parallel()
	needsProcess(t)
	const password = "pässwörd ☂"
	b := startBroker(t, t.TempDir(), "--default-user", "änn", "--default-pass", password, "--default-vhost", "/shop/a")
	try := func(user, password, vhost, want string) {
		t.Helper()
		wantDial(t, b.as(user, password, vhost).URL, amqp.Config{}, want)
	}
	try("änn", password, "/shop/a", "")
	try("änn", "guest", "/shop/a", amqp.ErrCredentials.Reason)
	try("änn", "", "/shop/a", amqp.ErrCredentials.Reason)
	try("guest", "guest", "/shop/a", amqp.ErrCredentials.Reason)
	try("änn", password, "/", "NOT_ALLOWED - vhost / not found")
	amqplain := amqp.Config{SASL: []amqp.Authentication{&amqp.AMQPlainAuth{Username: "änn", Password: password}}}
	wantDial(t, b.as("", "", "/shop/a").URL, amqplain, "")
	b = b.restart(t, "--default-user", "bob", "--default-pass", "guest", "--default-vhost", "/") // has users
	try("änn", password, "/shop/a", "")
	try("bob", "guest", "/shop/a", amqp.ErrCredentials.Reason)
	b.Kill()
	b = startBroker(t, b.Dir)
	try("änn", password, "/shop/a", "")
}

func TestPasswordComesFromTheEnvironment(t *testing.T) {
	needsProcess(t)
	t.Setenv("MILLRACE_DEFAULT_PASS", "secret")
	b := startBroker(t, t.TempDir())
	wantDial(t, b.as("guest", "secret", "/").URL, amqp.Config{}, "")
	wantDial(t, b.as("guest", "guest", "/").URL, amqp.Config{}, amqp.ErrCredentials.Reason)
}

func TestLimitsOfTheNode(t *testing.T) { // LIM-03
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir(), "--max-connections", "2", "--max-channels", "3", "--max-consumers-per-channel", "1",
		"--max-queues", "1", "--max-exchanges", "8")
	first, second := b.connect(t), b.connect(t)
	wantDial(t, b.URL, amqp.Config{}, "NOT_ALLOWED - connection refused: node connection limit (2) is reached")
	first.declare("q", queueSpec{})
	_, err := first.newChannel().QueueDeclare("r", false, false, false, false, nil)
	wantError(t, err, 406, "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in cluster (1) is reached")
	first.must(first.ExchangeDeclare("x", "fanout", false, false, false, false, nil))
	wantError(t, first.ExchangeDeclare("y", "fanout", false, false, false, false, nil),
		406, "PRECONDITION_FAILED - cannot declare exchange 'y' in vhost '/': exchange limit of 8 is reached")
	_, err = second.Consume("q", "one", false, false, false, false, nil)
	second.must(err)
	_, _ = second.Consume("q", "two", false, false, false, false, nil)
	second.wantConnectionClosed(530, "NOT_ALLOWED - reached maximum (1) of consumers per channel")
	third := b.connect(t) // there is room again
	third.newChannel()
	third.newChannel()
	if _, err := third.conn.Channel(); err == nil {
		t.Error("a channel too many is open")
	}
	third.wantConnectionClosed(530, "NOT_ALLOWED - number of channels opened on node 'millrace' has reached the maximum allowed limit of 3")
}
