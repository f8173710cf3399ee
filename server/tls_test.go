package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := certificateTemplate(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a := &authority{key: newKey(t)}
	a.certificate = sign(t, template, template, a.key, a.key)
	return a
}

// issue returns a certificate for the server and for clients alike.
func (a *authority) issue(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	template := certificateTemplate(name)
	template.DNSNames = []string{name}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return sign(t, template, a.certificate, key, a.key), key
}

func certificateTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func certificatePEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// handshake connects a client to a server of the configuration, and returns what the server saw.
func handshake(t *testing.T, serverConfig, clientConfig *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := tls.Dial("tcp", listener.Addr().String(), clientConfig)
		if err == nil {
			conn.Read(make([]byte, 1)) // until the server has hung up
			conn.Close()
		}
	}()
	defer func() { <-done }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted := tls.Server(conn, serverConfig)
	err = accepted.Handshake()
	return accepted.ConnectionState(), err
}

func TestTLSVerifyModeDecidesWhichClientsComeIn(t *testing.T) { // chapter 11
	trusted, stranger := newAuthority(t, "authority"), newAuthority(t, "stranger")
	certificate, key := trusted.issue(t, "localhost")
	cfg := server.TLSConfig{
		CertificateFile: writeFile(t, "cert.pem", certificatePEM(certificate)),
		KeyFile:         writeFile(t, "key.pem", keyPEM(t, key)),
		AuthorityFile:   writeFile(t, "ca.pem", certificatePEM(trusted.certificate)),
	}
	const nobody, friend, foe = "nobody", "friend", "foe"
	tests := []struct {
		verify server.VerifyMode
		client string
		ok     bool
		named  bool // the server knows who it is
	}{
		{"", nobody, true, false},
		{server.VerifyNone, nobody, true, false},
		{server.VerifyNone, friend, true, false},
		{server.VerifyNone, foe, true, false},
		{server.VerifyPeer, nobody, true, false},
		{server.VerifyPeer, friend, true, true},
		{server.VerifyPeer, foe, false, false},
		{server.VerifyRequire, nobody, false, false},
		{server.VerifyRequire, friend, true, true},
		{server.VerifyRequire, foe, false, false},
	}
	for _, test := range tests {
		t.Run(string(test.verify)+" "+test.client, func(t *testing.T) {
			cfg := cfg
			cfg.Verify = test.verify
			config, err := cfg.Load()
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(trusted.certificate)
			client := &tls.Config{RootCAs: roots, ServerName: "localhost"}
			if test.client != nobody {
				issuer := trusted
				if test.client == foe {
					issuer = stranger
				}
				own, ownKey := issuer.issue(t, test.client)
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &tls.Certificate{Certificate: [][]byte{own.Raw}, PrivateKey: ownKey}, nil
				}
			}
			state, err := handshake(t, config, client)
			if (err == nil) != test.ok {
				t.Fatalf("handshake: %v", err)
			}
			if named := err == nil && len(state.VerifiedChains) > 0; named != test.named {
				t.Errorf("the server knows the client: %v", named)
			}
		})
	}
}

func TestTLSVersions(t *testing.T) { // chapter 11
	a := newAuthority(t, "authority")
	certificate, key := a.issue(t, "localhost")
	config, err := server.TLSConfig{
		CertificateFile: writeFile(t, "cert.pem", certificatePEM(certificate)+certificatePEM(a.certificate)),
		KeyFile:         writeFile(t, "key.pem", keyPEM(t, key)),
	}.Load()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	for version, ok := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		_, err := handshake(t, config, &tls.Config{
			RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version,
		})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestTLSErrorsNameTheFileInOneLine(t *testing.T) {
	a := newAuthority(t, "authority")
	certificate, key := a.issue(t, "localhost")
	_, otherKey := a.issue(t, "localhost")
	good := server.TLSConfig{
		CertificateFile: writeFile(t, "cert.pem", certificatePEM(certificate)),
		KeyFile:         writeFile(t, "key.pem", keyPEM(t, key)),
		AuthorityFile:   writeFile(t, "ca.pem", certificatePEM(a.certificate)),
		Verify:          server.VerifyRequire,
	}
	block := func(kind, body string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(body)}))
	}
	tests := []struct {
		name string
		edit func(c *server.TLSConfig) (file string)
		want string
	}{
		{"no certificate file", func(c *server.TLSConfig) string {
			c.CertificateFile = "/nonexistent/cert.pem"
			return c.CertificateFile
		}, "tls certificate: open FILE: no such file or directory"},
		{"no key file", func(c *server.TLSConfig) string {
			c.KeyFile = "/nonexistent/key.pem"
			return c.KeyFile
		}, "tls key: open FILE: no such file or directory"},
		{"no authority file", func(c *server.TLSConfig) string {
			c.AuthorityFile = "/nonexistent/ca.pem"
			return c.AuthorityFile
		}, "tls authorities: open FILE: no such file or directory"},
		{"empty certificate", func(c *server.TLSConfig) string {
			c.CertificateFile = writeFile(t, "empty.pem", "")
			return c.CertificateFile
		}, "tls certificate: FILE holds no certificate in PEM, but no PEM at all"},
		{"exchanged", func(c *server.TLSConfig) string {
			c.CertificateFile, c.KeyFile = c.KeyFile, c.CertificateFile
			return c.CertificateFile
		}, "tls certificate: FILE holds no certificate in PEM, but PRIVATE KEY"},
		{"certificate for a key", func(c *server.TLSConfig) string {
			c.KeyFile = c.CertificateFile
			return c.KeyFile
		}, "tls key: FILE holds no private key in PEM, but CERTIFICATE"},
		{"damaged certificate", func(c *server.TLSConfig) string {
			c.CertificateFile = writeFile(t, "damaged.pem", block("CERTIFICATE", "nonsense"))
			return c.CertificateFile
		}, "tls certificate: FILE: certificate 1: x509: malformed certificate"},
		{"damaged key", func(c *server.TLSConfig) string {
			c.KeyFile = writeFile(t, "damaged.pem", block("PRIVATE KEY", "nonsense"))
			return c.KeyFile
		}, "tls key FILE for certificate " + good.CertificateFile + ": tls: failed to parse private key"},
		{"key of another", func(c *server.TLSConfig) string {
			c.KeyFile = writeFile(t, "other.pem", keyPEM(t, otherKey))
			return c.KeyFile
		}, "tls key FILE for certificate " + good.CertificateFile + ": tls: private key does not match public key"},
		{"encrypted key", func(c *server.TLSConfig) string {
			c.KeyFile = writeFile(t, "encrypted.pem", block("ENCRYPTED PRIVATE KEY", "nonsense"))
			return c.KeyFile
		}, "tls key: FILE is encrypted; decrypt it with openssl pkey -in FILE"},
		{"key encrypted in the old way", func(c *server.TLSConfig) string {
			c.KeyFile = writeFile(t, "encrypted.pem", string(pem.EncodeToMemory(&pem.Block{
				Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("nonsense"),
			})))
			return c.KeyFile
		}, "tls key: FILE is encrypted; decrypt it with openssl pkey -in FILE"},
		{"no authority", func(c *server.TLSConfig) string {
			c.AuthorityFile = c.KeyFile
			return c.AuthorityFile
		}, "tls authorities: FILE holds no certificate in PEM, but PRIVATE KEY"},
	}
	if _, err := good.Load(); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			file := test.edit(&cfg)
			_, err := cfg.Load()
			want := strings.ReplaceAll(test.want, "FILE", file)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestTLSConfigReportsAllFaultsTogether(t *testing.T) {
	err := server.TLSConfig{Verify: "maybe"}.Validate()
	const want = "tls: no certificate file is given\ntls: no key file is given\n" +
		`tls: unknown verify mode "maybe"; choose none, peer or require`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	err = server.TLSConfig{CertificateFile: "c", KeyFile: "k", Verify: server.VerifyPeer}.Validate()
	if err == nil || err.Error() != "tls: verify mode peer needs an authority file to verify clients with" {
		t.Errorf("got %v", err)
	}
	if err := (server.TLSConfig{CertificateFile: "c", KeyFile: "k"}).Validate(); err != nil {
		t.Error(err)
	}
}
