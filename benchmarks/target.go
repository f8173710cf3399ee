package benchmarks

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// target is the broker under load.
type target struct {
	address  string // host:port
	user     string
	password string
	vhost    string
}

// parseTarget reads amqp://user:password@host:port/vhost. What is missing is as RabbitMQ's clients
// have it: guest, guest, 5672 and the virtual host "/".
func parseTarget(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, fmt.Errorf("broker's URL: %w", err)
	}
	if u.Scheme != "amqp" || u.Hostname() == "" {
		return target{}, fmt.Errorf("broker's URL %q is not amqp://host:port", text)
	}
	port := u.Port()
	if port == "" {
		port = "5672"
	}
	t := target{address: net.JoinHostPort(u.Hostname(), port), user: "guest", password: "guest", vhost: "/"}
	if u.User != nil {
		t.user = u.User.Username()
		t.password, _ = u.User.Password()
	}
	if vhost := strings.TrimPrefix(u.Path, "/"); vhost != "" {
		t.vhost = vhost
	}
	return t, nil
}
