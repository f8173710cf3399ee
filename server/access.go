package server

import (
	"errors"
	"fmt"

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
	for _, limit := range []int{c.Limits.Connections, c.Limits.Channels, c.Limits.ConsumersPerChannel, c.Limits.Queues, c.Limits.Exchanges} {
		if limit < 0 {
			faults = append(faults, fmt.Errorf("limit %d is negative", limit))
		}
	}
	return errors.Join(faults...)
}
