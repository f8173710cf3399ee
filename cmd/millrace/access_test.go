package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// Users of a file, what they are refused, and what a change of the file does to those who are connected.
func TestPermissionsOfConnectedClients(t *testing.T) { // AUTH-01, AUTH-03, AUTH-04, LIM-01
	t.Parallel()
	needsProcess(t)
	file := filepath.Join(t.TempDir(), "d.json")
	write := func(users, permissions string) {
		t.Helper()
		text := `{"vhosts": [{"name": "shop"}], "users": [` + users + `], "permissions": [` + permissions + `],
			"topic_permissions": [{"user": "ann", "vhost": "shop", "exchange": "amq.topic", "write": "^{username}[.]", "read": ".*"}],
			"parameters": [{"component": "vhost-limits", "vhost": "shop", "name": "limits", "value": {"max-queues": 1}}]}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const (
		ann        = `{"name": "ann", "password": "a", "tags": []}`
		bob        = `{"name": "bob", "password": "b", "tags": []}`
		permission = `{"user": "ann", "vhost": "shop", "configure": "^ann", "write": "^(ann|amq.topic)", "read": "^ann"}`
		ofBob      = `{"user": "bob", "vhost": "shop", "configure": "", "write": "", "read": ".*"}`
	)
	write(ann+", "+bob, permission+", "+ofBob)
	b := startBroker(t, t.TempDir(), "--definitions", file)
	c, watcher := b.as("ann", "a", "shop").connect(t), b.as("bob", "b", "shop").connect(t)
	refused := func(what string) string {
		return "ACCESS_REFUSED - " + what + " in vhost 'shop' refused for user 'ann'"
	}

	c.declare("ann.q", queueSpec{durable: true})
	_, err := c.newChannel().QueueDeclare("ann.r", false, false, false, false, nil)
	wantError(t, err, 406, "PRECONDITION_FAILED - cannot declare queue 'ann.r': queue limit in vhost 'shop' (1) is reached")
	_, err = c.newChannel().QueueDeclare("bob.q", false, false, false, false, nil)
	wantError(t, err, 403, refused("configure access to queue 'bob.q'"))
	_, err = c.newChannel().QueueDeclarePassive("bob.q", false, false, false, false, nil)
	wantError(t, err, 403, refused("access to queue 'bob.q'"))
	_, _, err = c.newChannel().Get("bob.q", true)
	wantError(t, err, 403, refused("read access to queue 'bob.q'"))
	wantError(t, c.newChannel().QueueBind("ann.q", "k", "bob.x", false, nil), 403, refused("read access to exchange 'bob.x'"))
	publisher := c.newChannel()
	publisher.send("amq.topic", "ann.x", "yes")
	publisher.send("amq.topic", "bob.x", "no")
	publisher.wantClosed(403, refused("write access to topic 'bob.x' in exchange 'amq.topic'"))
	publisher = c.newChannel()
	publisher.send("", "ann.q", "no")
	publisher.wantClosed(403, refused("write access to exchange 'amq.default'"))

	more := strings.Replace(permission, "^(ann|", "^(ann|amq.default|", 1)
	write(ann+", "+bob, more+", "+ofBob)
	b.hangup(t, "definitions applied")
	c.send("", "ann.q", "now")
	c.wantBodies("ann.q", "now")
	write(ann, permission)
	b.hangup(t, "definitions applied")
	watcher.wantConnectionClosed(320, "CONNECTION_FORCED - user 'bob' is deleted")
	c.send("", "ann.q", "no more")
	c.wantClosed(403, refused("write access to exchange 'amq.default'"))
}
