package benchmarks

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
)

// parseArguments reads NAME=VALUE of queue arguments. A value that is a whole number or true or false is sent as
// such, any other as text.
func parseArguments(fields []string) (amqp.Table, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	table := amqp.Table{}
	for _, field := range fields {
		name, value, ok := strings.Cut(field, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--queue-arg %q is not NAME=VALUE", field)
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			table[name] = n
		} else if value == "true" || value == "false" {
			table[name] = value == "true"
		} else {
			table[name] = value
		}
	}
	return table, nil
}
