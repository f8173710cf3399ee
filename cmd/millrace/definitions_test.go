package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const exampleDefinitions = "../../docs/examples/definitions/definitions.json"

// as returns the broker as another user sees it, in a virtual host.
func (b *Broker) as(user, password, vhost string) *Broker {
	other := &Broker{Dir: b.Dir, cmd: b.cmd}
	uri, err := amqp.ParseURI(b.URL)
	if err != nil {
		panic(err) // it is our own
	}
	uri.Username, uri.Password, uri.Vhost = user, password, vhost
	other.URL = uri.String()
	return other
}

// wantNoLogin expects that a user cannot connect.
func (b *Broker) wantNoLogin(t testing.TB) {
	t.Helper()
	conn, err := amqp.Dial(b.URL)
	if err == nil {
		_ = conn.Close()
		t.Errorf("%s is let in", b.URL)
	}
}

func TestDefinitionsSeedABroker(t *testing.T) { // AUTH-06
	needsProcess(t)
	t.Parallel()
	b := startBroker(t, t.TempDir(), "--definitions", exampleDefinitions)
	b.wantNoLogin(t) // guest
	check := func(b *Broker) {
		t.Helper()
		c := b.as("operator", "change me", "shop").connect(t)
		if err := c.ExchangeDeclarePassive("orders", "topic", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		c.send("orders", "shop.us.1", "m")
		c.send("orders", "shop.nowhere", "lost")
		c.wantBodies("orders.us", "m")[0].Ack(false)
		c.wantBodies("dead", "lost")[0].Ack(false)
	}
	check(b)
	b = b.restart(t, "--definitions", exampleDefinitions)
	check(b)
	b = b.restart(t) // what the file brought about is in the data folder
	check(b)
}

func TestFaultyDefinitionsStopTheStart(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	for name, test := range map[string]struct{ file, want string }{
		"missing":     {"", "no such file or directory"},
		"not JSON":    {"{\n\"users\": [}", "definitions: d.json:2:11: this is not JSON: invalid character '}' looking for beginning of value"},
		"wrong value": {`{"queues":[{"vhost":"/","name":"q","arguments":{"x-max-length":"5"}}]}`, `definitions: d.json:1:64: queues[0].arguments.x-max-length: invalid arg`},
		"unknown vhost": {
			`{"users":[{"name":"u","password":"p"}],"queues":[{"vhost":"v","name":"q"}]}`,
			`definitions: d.json:1:50: queues[0]: there is no virtual host "v", here or in the broker; add it to vhosts`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "d.json")
			if test.file != "" {
				if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := serveArgs(filepath.Join(dir, "data"), "--definitions", file, "--log-level", "error")
			out, err := exec.Command(binaryPath(t), args...).CombinedOutput()
			if err == nil {
				t.Fatal("the start was no failure")
			}
			if text := string(out); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "millrace serve: ") || !strings.Contains(text, test.want) {
				t.Errorf("got %s, want one line with %s", text, test.want)
			}
			// Nothing was half applied: without the file, the folder is as good as new.
			b := startBroker(t, filepath.Join(dir, "data"))
			b.connect(t)
			b.as("u", "p", "/").wantNoLogin(t)
		})
	}
}

func TestHangupReadsTheDefinitionsAgain(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	file := filepath.Join(t.TempDir(), "d.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const ann = `{"name":"ann","password":"secret"}`
	const permission = `{"user":"ann","vhost":"/","configure":".*","write":".*","read":".*"}`
	write(`{"users":[` + ann + `],"permissions":[` + permission + `]}`)
	b := startBroker(t, t.TempDir(), "--definitions", file)
	c := b.as("ann", "secret", "/").connect(t)
	c.declare("q", queueSpec{durable: true})

	write(`{"users":[` + ann + `,{"name":"bob","password":"b"}],"permissions":[` + permission + `,{"user":"bob","vhost":"/","configure":"","write":"","read":""}],
		"queues":[{"vhost":"/","name":"of the file"}],"policies":[{"vhost":"/","name":"p","pattern":"q","definition":{"max-length":1}}]}`)
	b.hangup(t, "definitions applied")
	b.as("bob", "b", "/").connect(t)
	c.sendAll("", "q", "a", "b")
	c.wantReady("q", 1)
	c.wantReady("of the file", 0)

	write(`{"users":[` + ann + `,"oops"]}`) // a fault changes nothing
	b.hangup(t, "definitions not applied")
	if log := b.stderr.String(); !strings.Contains(log, "d.json:1:46: users[1]: this must be an object, not a string") {
		t.Errorf("the log does not say what is wrong:\n%s", log)
	}
	b.as("bob", "b", "/").connect(t)

	write(`{"users":[` + ann + `],"permissions":[` + permission + `]}`) // bob goes, so does the policy; the queue stays
	b.hangup(t, "definitions applied")
	b.as("bob", "b", "/").wantNoLogin(t)
	c.sendAll("", "q", "c")
	c.wantReady("q", 2)
	c.wantReady("of the file", 0)
}
