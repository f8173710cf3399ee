package main_test

import (
	"strings"
	"testing"
)

// is3 reports whether the broker answers as RabbitMQ 3.x does, in the few
// places where Millrace follows 4.x.
func (c *client) is3() bool {
	version, _ := c.conn.Properties["version"].(string)
	return strings.HasPrefix(version, "3.")
}

// notYet skips a scenario about what Millrace does not have yet. Against
// another broker it runs all the same, so that its expectations stay true.
func notYet(t *testing.T, b *Broker, feature string) {
	t.Helper()
	if !b.External() {
		t.Skip("not in Millrace yet: " + feature)
	}
}
