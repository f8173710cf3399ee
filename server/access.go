package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/millrace-mq/millrace/server/internal/access"
)

// FirstStart is the first user of a data folder, who administers and may do anything in one virtual host.
type FirstStart struct {
	User, Password, VHost string
}

// Limits are limits of the whole broker. Zero is no limit.
type Limits struct {
	Connections         int
	Channels            int
	ConsumersPerChannel int
	Queues              int
	Exchanges           int
}

func (f FirstStart) access() access.FirstStart {
	first := access.DefaultFirstStart()
	if f.User != "" {
		first.User = f.User
	}
	if f.Password != "" {
		first.Password = f.Password
	}
	if f.VHost != "" {
		first.VHost.Name = f.VHost
	}
	return first
}

func (c Config) validateAccess() error {
	faults := append(c.validateTLS(), c.sasl().Validate())
	for _, name := range c.LoopbackUsers {
		if name == "" || strings.TrimSpace(name) != name { // would restrict nobody, and nobody would notice
			faults = append(faults, fmt.Errorf("loopback user %q is no name: there is a comma or a space too many", name))
		}
	}
	for _, limit := range []struct {
		of string
		n  int
	}{
		{"connections", c.Limits.Connections},
		{"channels", c.Limits.Channels},
		{"consumers per channel", c.Limits.ConsumersPerChannel},
		{"queues", c.Limits.Queues},
		{"exchanges", c.Limits.Exchanges},
	} {
		if limit.n < 0 {
			faults = append(faults, fmt.Errorf("limit of %s %d is negative", limit.of, limit.n))
		}
	}
	return errors.Join(faults...)
}
