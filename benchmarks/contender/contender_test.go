package contender

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/client"
)

func TestContendersAreReadFromTheirWords(t *testing.T) {
	executable := filepath.Join(t.TempDir(), "other broker")
	if err := os.WriteFile(executable, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text, name, host string
		started          bool
		pids             []int
		sync             string
	}{
		{"millrace", "millrace", "", true, nil, ""},
		{"lazy=millrace,sync=os", "lazy", "", true, nil, "os"},
		{"RabbitMQ 3.10=amqp://h:1/,pid=12,pid=7", "RabbitMQ 3.10", "h:1", false, []int{12, 7}, ""},
		{"amqp://u:p=,x@h", "h:5672", "h:5672", false, nil, ""},
		{executable, "other broker", "", true, nil, ""},
	}
	for _, test := range tests {
		c, err := Parse(test.text, client.TLS{})
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if c.Name != test.name || c.address.Host != test.host || c.Started() != test.started || !slices.Equal(c.pids, test.pids) || c.sync != test.sync {
			t.Errorf("%s: %+v", test.text, c)
		}
	}
	for text, want := range map[string]string{
		"rabbitmq":             "no broker",
		"x=":                   "no broker",
		"a=millrace,pid=1":     "no id",
		"amqp://h,sync=os":     "started here",
		"millrace,sync=never":  "never",
		"amqp://h,pid=x":       "no process id",
		"amqp://h,pid=0":       "no process id",
		"./there/is/no/broker": "no such file",
		"x=ftp://h":            "ftp",
	} {
		if _, err := Parse(text, client.TLS{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}
