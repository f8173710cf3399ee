package client

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
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
