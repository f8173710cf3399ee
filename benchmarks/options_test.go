package benchmarks

import (
	"strings"
	"testing"
)

func TestOptionsChangeTheWorkload(t *testing.T) {
	o, _, err := parseOptions([]string{
		"--workload", "confirm-1k", "--messages", "7", "--size", "99", "--persistent=false", "--window", "0", "--prefetch", "5",
		"--ack-every", "5", "--producers", "2", "--consumers", "3", "--queues", "3", "--auto-ack", "--url", "amqp://h:1/v", "--server-pid", "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := findWorkload("confirm-1k")
	want.Messages, want.Size, want.Persistent, want.Window, want.Prefetch, want.AckEvery = 7, 99, false, 0, 5, 5
	want.Producers, want.Consumers, want.Queues, want.AutoAck = 2, 3, 3, true
	if len(o.workloads) != 1 || o.workloads[0] != want {
		t.Errorf("got %+v, want %+v", o.workloads, want)
	}
}

func TestOptionsThatAreNotGivenChangeNothing(t *testing.T) {
	o, _, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range Catalogue() {
		if o.workloads[i] != w {
			t.Errorf("got %+v, want %+v", o.workloads[i], w)
		}
	}
}

func TestFaultyOptionsAreNamedTogether(t *testing.T) {
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"--workload", "nonsense"}, []string{"nonsense"}},
		{[]string{"--nonsense"}, []string{"nonsense"}},
		{[]string{"extra"}, []string{"extra"}},
		{[]string{"--server-pid", "1"}, []string{"--url"}},
		{[]string{"--fill"}, []string{"--url"}},
		{[]string{"--url", "http://x"}, []string{"http://x"}},
		{[]string{"--sync", "never", "--patience", "1ms"}, []string{"never", "1ms"}},
		{[]string{"--workload", "confirm-1k", "--messages", "0", "--queues", "2", "--ack-every", "2000"}, []string{"messages", "consumers", "ack every"}},
		{[]string{"--workload", "paced-1k", "--size", "8"}, []string{"latency"}},
	}
	for _, test := range tests {
		_, _, err := parseOptions(test.args)
		if err == nil {
			t.Errorf("%v was taken", test.args)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %q does not name %q", test.args, err, want)
			}
		}
	}
}

func TestTargetIsReadFromItsURL(t *testing.T) {
	tests := []struct {
		url  string
		want target
	}{
		{"amqp://127.0.0.1:5673", target{"127.0.0.1:5673", "guest", "guest", "/"}},
		{"amqp://host", target{"host:5672", "guest", "guest", "/"}},
		{"amqp://me:secret@[::1]:1/orders", target{"[::1]:1", "me", "secret", "orders"}},
		{"amqp://host/%2Fa", target{"host:5672", "guest", "guest", "/a"}},
		{"amqp://host/", target{"host:5672", "guest", "guest", "/"}},
	}
	for _, test := range tests {
		if got, err := parseTarget(test.url); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.url, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "host:5672", "amqps://host", "amqp://", "amqp://h:x"} {
		if got, err := parseTarget(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
