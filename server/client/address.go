package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Address is where a broker listens, and who logs in there.
type Address struct {
	Host     string // host:port
	User     string
	Password string
	VHost    string
	TLS      *tls.Config // nil: plain TCP
}

// TLS says whom to trust at amqps:// URLs.
type TLS struct {
	CA       string // file of certificates, PEM; "" takes the system's
	Insecure bool   // takes any certificate
}

// ParseURL reads amqp://user:password@host:port/vhost, or amqps:// for TLS. What is missing is as
// RabbitMQ's clients have it: guest, guest, 5672 (5671 with TLS) and the virtual host "/".
func ParseURL(text string, trust TLS) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, fmt.Errorf("broker's URL: %w", err)
	}
	port := map[string]string{"amqp": "5672", "amqps": "5671"}[u.Scheme]
	if port == "" || u.Hostname() == "" {
		return Address{}, fmt.Errorf("broker's URL %q is not amqp://host:port or amqps://host:port", text)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	a := Address{Host: net.JoinHostPort(u.Hostname(), port), User: "guest", Password: "guest", VHost: "/"}
	if u.User != nil {
		a.User = u.User.Username()
		a.Password, _ = u.User.Password()
	}
	if vhost := strings.TrimPrefix(u.Path, "/"); vhost != "" {
		a.VHost = vhost
	}
	if u.Scheme == "amqps" {
		a.TLS, err = trust.config(u.Hostname())
	}
	return a, err
}

// URL is what ParseURL reads, with the password.
func (a Address) URL() string { return a.url(url.UserPassword(a.User, a.Password)) }

// String is the URL without who logs in.
func (a Address) String() string { return a.url(nil) }

func (a Address) url(user *url.Userinfo) string {
	u := url.URL{Scheme: "amqp", User: user, Host: a.Host}
	if a.TLS != nil {
		u.Scheme = "amqps"
	}
	if a.VHost != "/" {
		u.Path, u.RawPath = "/"+a.VHost, "/"+url.PathEscape(a.VHost)
	}
	return u.String()
}

func (t TLS) config(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, InsecureSkipVerify: t.Insecure}
	if t.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("certificates to trust: there is none in " + t.CA)
	}
	return config, nil
}
