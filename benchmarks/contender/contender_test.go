package contender

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAddressIsReadFromItsURL(t *testing.T) {
	tests := []struct {
		url  string
		want Address
	}{
		{"amqp://127.0.0.1:5673", Address{"127.0.0.1:5673", "guest", "guest", "/", nil}},
		{"amqp://host", Address{"host:5672", "guest", "guest", "/", nil}},
		{"amqp://me:secret@[::1]:1/orders", Address{"[::1]:1", "me", "secret", "orders", nil}},
		{"amqp://host/%2Fa", Address{"host:5672", "guest", "guest", "/a", nil}},
		{"amqp://host/", Address{"host:5672", "guest", "guest", "/", nil}},
	}
	for _, test := range tests {
		if got, err := ParseURL(test.url, TLS{}); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.url, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "host:5672", "http://host", "amqp://", "amqp://h:x"} {
		if got, err := ParseURL(bad, TLS{}); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestAddressWithTLSSaysWhomToTrust(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	good, bad := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "none.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, text := range map[string][]byte{good: block, bad: []byte("no certificate")} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, err := ParseURL("amqps://broker.example", TLS{CA: good})
	if err != nil || a.Host != "broker.example:5671" || a.TLS.ServerName != "broker.example" || a.TLS.RootCAs == nil || a.TLS.InsecureSkipVerify {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := ParseURL("amqps://h", TLS{Insecure: true}); err != nil || !a.TLS.InsecureSkipVerify {
		t.Errorf("%+v, %v", a, err)
	}
	for _, ca := range []string{bad, filepath.Join(dir, "missing")} {
		if _, err := ParseURL("amqps://h", TLS{CA: ca}); err == nil {
			t.Errorf("%s was taken", ca)
		}
	}
}

func TestContendersAreReadFromTheirWords(t *testing.T) {
	executable := filepath.Join(t.TempDir(), "other broker")
	if err := os.WriteFile(executable, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text, name, host string
		started          bool
		pids             []int
		sync             string
	}{
		{"millrace", "millrace", "", true, nil, ""},
		{"lazy=millrace,sync=os", "lazy", "", true, nil, "os"},
		{"RabbitMQ 3.10=amqp://h:1/,pid=12,pid=7", "RabbitMQ 3.10", "h:1", false, []int{12, 7}, ""},
		{"amqp://u:p=,x@h", "h:5672", "h:5672", false, nil, ""},
		{executable, "other broker", "", true, nil, ""},
	}
	for _, test := range tests {
		c, err := Parse(test.text, TLS{})
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if c.Name != test.name || c.address.Host != test.host || c.Started() != test.started || !slices.Equal(c.pids, test.pids) || c.sync != test.sync {
			t.Errorf("%s: %+v", test.text, c)
		}
	}
	for text, want := range map[string]string{
		"rabbitmq":             "no broker",
		"x=":                   "no broker",
		"a=millrace,pid=1":     "no id",
		"amqp://h,sync=os":     "started here",
		"millrace,sync=never":  "never",
		"amqp://h,pid=x":       "no process id",
		"amqp://h,pid=0":       "no process id",
		"./there/is/no/broker": "no such file",
		"x=ftp://h":            "ftp",
	} {
		if _, err := Parse(text, TLS{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}
