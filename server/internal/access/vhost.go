package access

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// VHost describes a virtual host: its name, and what operators say of it. Names are opaque (CONN-15).
type VHost struct {
	Name string
	// ID is the number by which the log's records name the host. The broker gives it out.
	ID          uint32
	Description string
	Tags        []string
	// DefaultQueueType is that of queues which are declared without one (QUEUE-18); empty means classic.
	DefaultQueueType string
	// Tracing says that publishes and deliveries are copied to amq.rabbitmq.trace.
	Tracing bool
	// Protected hosts are not to be deleted before the protection is lifted. Operators are told so by
	// their tools; a change that deletes the host is not refused.
	Protected bool
}

// maxVHostName is the longest name that connection.open carries.
const maxVHostName = 255

func (v VHost) check() error {
	if v.Name == "" {
		return errors.New("the virtual host has no name")
	}
	if len(v.Name) > maxVHostName || !utf8.ValidString(v.Name) {
		return fmt.Errorf("virtual host name %.300q is not UTF-8 of at most %d octets", v.Name, maxVHostName)
	}
	return nil
}

func (v VHost) clone() VHost {
	v.Tags = slices.Clone(v.Tags)
	return v
}
