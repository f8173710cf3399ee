package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// authority signs certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// issue signs a certificate with a new key; the first one signs itself.
func (a *authority) issue(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.certificate, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (*authority) write(t *testing.T, name, kind string, der []byte) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), name) // each broker has its own: several may start at once
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serverFlags make a broker listen with a certificate of the authority's.
func (a *authority) serverFlags(t *testing.T, more ...string) []string {
	t.Helper()
	certificate, key := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"--tls-listen", "127.0.0.1:0", "--tls-cert", a.write(t, "server.pem", "CERTIFICATE", certificate.Raw),
		"--tls-key", a.write(t, "server.key", "PRIVATE KEY", pkcs8),
		"--tls-ca", a.write(t, "ca.pem", "CERTIFICATE", a.certificate.Raw),
	}, more...)
}

// client is a configuration that trusts the authority, with a certificate for the subject if there is one.
func (a *authority) client(t *testing.T, subject *pkix.Name) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.certificate)
	if subject != nil {
		certificate, key := a.issue(t, &x509.Certificate{
			Subject: *subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}
	}
	return config
}

var secured = regexp.MustCompile(`with TLS on (127\.0\.0\.1:\d+)`)

func (b *Broker) tlsAddress() string { return secured.FindStringSubmatch(b.StartLine)[1] }

// overTLS is the same broker for clients that come over TLS.
func (b *Broker) overTLS() *Broker {
	return &Broker{URL: "amqps://guest:guest@" + b.tlsAddress() + "/", cmd: b.cmd}
}

func TestMessagesOverTLS(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	a := newAuthority(t)
	b := startBroker(t, t.TempDir(), a.serverFlags(t)...)
	c := b.overTLS().connectWith(t, amqp.Config{TLSClientConfig: a.client(t, nil)})
	if got := c.conn.Config.SASL[0].Mechanism(); got != "PLAIN" {
		t.Errorf("mechanism %s", got)
	}
	c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	var bodies []string
	for _, size := range []int{0, 100, 5_000, 131_072, 1 << 20} {
		body := strings.Repeat(fmt.Sprint(size%7), size)
		bodies = append(bodies, body)
		c.sendConfirmed("", "q", persistent(body))
	}
	b.connect(t).wantBodies("q", bodies...) // without TLS; goes back when that channel closes
	deliveries, err := c.Consume("q", "", true, false, false, false, nil)
	c.must(err)
	plain := b.connect(t)
	for _, body := range bodies {
		plain.send("", "q", body)
	}
	for i := range 5 {
		if got := await(t, "delivery", deliveries); string(got.value.Body) != bodies[i] {
			t.Fatalf("delivery %d has %d octets, want %d", i, len(got.value.Body), len(bodies[i]))
		}
	}
}

func TestCertificatesLogIn(t *testing.T) { // CONN-05
	t.Parallel()
	needsProcess(t)
	a := newAuthority(t)
	ann := pkix.Name{CommonName: "ann", Organization: []string{"Shop"}}
	external := []amqp.Authentication{&amqp.ExternalAuth{}}
	plain := []amqp.Authentication{&amqp.PlainAuth{Username: "CN=ann,O=Shop", Password: "guest"}}
	for _, test := range []struct {
		name, verify, from string
		user               string
		subject            *pkix.Name
		sasl               []amqp.Authentication
		want               string
	}{
		{"subject", "require", "distinguished_name", "CN=ann,O=Shop", &ann, external, ""},
		{"common name", "peer", "common_name", "ann", &ann, external, ""},
		{"another user", "peer", "common_name", "bob", &ann, external, amqp.ErrCredentials.Reason},
		{"no certificate", "peer", "common_name", "ann", nil, external, amqp.ErrCredentials.Reason},
		{"not verified", "none", "common_name", "ann", &ann, external, amqp.ErrSASL.Reason}, // not offered
		{"password beside", "require", "distinguished_name", "CN=ann,O=Shop", &ann, plain, ""},
		{"password instead", "peer", "distinguished_name", "CN=ann,O=Shop", nil, plain, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, t.TempDir(), a.serverFlags(t, "--tls-verify", test.verify, "--tls-cert-name", test.from, "--default-user", test.user)...)
			wantDial(t, "amqps://"+b.tlsAddress(), amqp.Config{TLSClientConfig: a.client(t, test.subject), SASL: test.sasl}, test.want)
		})
	}
}

func TestCertificateIsRequired(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	a, stranger := newAuthority(t), newAuthority(t)
	b := startBroker(t, t.TempDir(), a.serverFlags(t, "--tls-verify", "require")...)
	unknown := stranger.client(t, &pkix.Name{CommonName: "guest"})
	unknown.RootCAs.AddCert(a.certificate)
	for name, config := range map[string]*tls.Config{"none": a.client(t, nil), "of a stranger's": unknown} {
		conn, err := amqp.DialConfig(b.overTLS().URL, amqp.Config{TLSClientConfig: config})
		if err == nil {
			conn.Close()
			t.Errorf("a client with a certificate %s is let in", name)
		}
	}
	eventually(t, "note in the log", func() bool {
		return strings.Count(b.stderr.String(), "TLS handshake: tls: ") == 2
	})
}

func TestWrongPortIsHintedAt(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	a := newAuthority(t)
	b := startBroker(t, t.TempDir(), a.serverFlags(t)...)
	if conn, err := amqp.Dial("amqp://guest:guest@" + b.tlsAddress()); err == nil {
		conn.Close()
		t.Error("the TLS port serves a client without TLS")
	}
	_, address, _ := strings.Cut(b.URL, "@")
	if conn, err := amqp.DialConfig("amqps://guest:guest@"+address, amqp.Config{TLSClientConfig: a.client(t, nil)}); err == nil {
		conn.Close()
		t.Error("the port without TLS serves a TLS client")
	}
	eventually(t, "hints in the log", func() bool {
		log := b.stderr.String()
		return strings.Contains(log, "a client without TLS came to the TLS port") && strings.Contains(log, "a TLS client came to a port without TLS")
	})
}
