package main_test

import "strings"

// is3 reports whether the broker answers as RabbitMQ 3.x does, in the few
// places where Millrace follows 4.x.
func (c *client) is3() bool {
	version, _ := c.conn.Properties["version"].(string)
	return strings.HasPrefix(version, "3.")
}
