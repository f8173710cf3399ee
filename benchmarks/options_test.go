package benchmarks

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/amqp"
)

// parseOptions reads the arguments of 'millrace bench'.
func parseOptions(args []string) (options, error) {
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	resolve := declareOptions(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	return resolve()
}

// parseSuite reads the arguments of 'millrace bench run'.
func parseSuite(args []string) (suiteOptions, error) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	resolve := declareSuite(flags)
	if err := flags.Parse(args); err != nil {
		return suiteOptions{}, err
	}
	return resolve(flags.Arg(0))
}

func parsed(t *testing.T, args ...string) options {
	t.Helper()
	o, err := parseOptions(args)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return o
}

func TestOptionsChangeTheWorkload(t *testing.T) {
	o := parsed(t,
		"--workload", "confirm-1k", "--messages", "7", "--size", "99", "--persistent=false", "--window", "0", "--prefetch", "5",
		"--ack-every", "5", "--producers", "2", "--consumers", "3", "--queues", "3", "--auto-ack", "--connections", "2",
		"--url", "amqp://h:1/v", "--server-pid", "1,2", "--warm-up", "2s", "--latency", "--idle-queues", "4")
	want, _ := load.Find("confirm-1k")
	want.Messages, want.Size, want.Persistent, want.Window, want.Prefetch, want.AckEvery = 7, load.Bytes(99), false, 0, 5, 5
	want.Producers, want.Consumers, want.Queues, want.AutoAck, want.Connections = 2, 3, 3, true, 2
	want.WarmUp, want.Latency, want.IdleQueues, want.Bindings = 2*time.Second, true, 4, 3
	if len(o.workloads) != 1 || !reflect.DeepEqual(o.workloads[0], want) {
		t.Errorf("got %+v, want %+v", o.workloads, want)
	}
}

func TestOptionsMakeBadConsumers(t *testing.T) {
	o := parsed(t, "--messages", "7", "--exchange", "direct", "--consumer-rate", "9", "--stop-reading", "--idle-bindings", "8")
	want := load.Base()
	want.Messages, want.Exchange, want.ConsumerRate, want.StopReading, want.IdleBindings = 7, load.ExchangeDirect, 9, true, 8
	if !reflect.DeepEqual(o.workloads[0], want) {
		t.Errorf("got %+v, want %+v", o.workloads[0], want)
	}
}

func TestOptionsMakeAWorkloadOfTheirOwn(t *testing.T) {
	o := parsed(t, "--exchange", "topic", "--queues", "2", "--binding-key", "a.*", "--binding-key", "b.#", "--routing-key", "a.b",
		"--queue-arg", "x-queue-type=quorum", "--queue-arg", "x-max-length=10", "--queue-arg", "x-single-active-consumer=true",
		"--queue-name", "mine", "--duration", "3s", "--size", "100:70,1KiB:25", "--rate", "50", "--window", "10")
	want := load.Base()
	want.Exchange, want.Queues, want.Consumers, want.Bindings = load.ExchangeTopic, 2, 2, 2
	want.BindingKeys, want.RoutingKeys, want.QueueName = []string{"a.*", "b.#"}, []string{"a.b"}, "mine"
	want.Arguments = amqp.Table{"x-queue-type": "quorum", "x-max-length": int64(10), "x-single-active-consumer": true}
	want.Duration, want.Rate, want.Window = 3*time.Second, 50, 10
	want.Size, _ = load.ParseSizes("100:70,1024:25")
	if !reflect.DeepEqual(o.workloads[0], want) {
		t.Errorf("got %+v, want %+v", o.workloads[0], want)
	}
	if !o.broker.Started() {
		t.Error("without --url no broker is started")
	}
}

func TestOptionsThatAreNotGivenChangeNothing(t *testing.T) {
	for i, w := range load.Catalogue() {
		if got := parsed(t, "--workload", "all").workloads[i]; !reflect.DeepEqual(got, w) {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
	want := load.Base()
	want.Duration = defaultDuration
	if got := parsed(t).workloads; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOptionsChooseWhatIsDone(t *testing.T) {
	for flag, want := range map[string]load.Mode{
		"--publish-only": load.ModePublish, "--consume-only": load.ModeConsume, "--backlog": load.ModeBacklog, "--latency": load.ModeFlow,
	} {
		if got := parsed(t, flag, "--url", "amqp://h").workloads[0].Mode; got != want {
			t.Errorf("%s: mode %d, want %d", flag, got, want)
		}
	}
	if got := parsed(t, "--consume-only", "--url", "amqp://h").workloads[0]; got.Duration != 0 || got.Messages != 0 {
		t.Errorf("consuming alone ends after %v or %d messages", got.Duration, got.Messages)
	}
	if got := parsed(t, "--workload", "W3", "--duration", "1s").workloads[0]; got.Messages != 0 || got.Duration != time.Second {
		t.Errorf("a time limit instead of a number: %+v", got)
	}
	if got := parsed(t, "--workload", "w4,W11").workloads; len(got) != 2 || got[0].Mode != load.ModeBacklog || got[1].Mode != load.ModeDeclare {
		t.Errorf("by number: %+v", got)
	}
}

func TestFaultyOptionsAreNamedTogether(t *testing.T) {
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"--workload", "nonsense"}, []string{"nonsense", "bench list"}},
		{[]string{"--nonsense"}, []string{"nonsense"}},
		{[]string{"--server-pid", "1"}, []string{"--url"}},
		{[]string{"--server-pid", "x", "--url", "amqp://h"}, []string{`"x"`}},
		{[]string{"--consume-only"}, []string{"--url"}},
		{[]string{"--publish-only", "--backlog"}, []string{"exclude"}},
		{[]string{"--url", "http://x"}, []string{"http://x"}},
		{[]string{"--url", "amqps://x", "--tls-ca", "/nowhere"}, []string{"/nowhere"}},
		{[]string{"--sync", "never", "--patience", "1ms"}, []string{"never", "1ms"}},
		{[]string{"--exchange", "carrier-pigeon"}, []string{"carrier-pigeon", "topic"}},
		{[]string{"--queue-arg", "x"}, []string{"NAME=VALUE"}},
		{[]string{"--size", "big"}, []string{"big", "KiB"}},
		{[]string{"--messages", "5", "--duration", "3s"}, []string{"exclude"}},
		{[]string{"--duration", "10"}, []string{"duration"}},
		{[]string{"--workload", "confirm-1k", "--messages", "0", "--queues", "2", "--consumers", "1", "--ack-every", "2000"}, []string{"messages", "consumers", "ack every"}},
		{[]string{"--workload", "paced-1k", "--size", "8"}, []string{"latency"}},
		{[]string{"--binding-key", "x"}, []string{"binding keys"}},
	}
	for _, test := range tests {
		_, err := parseOptions(test.args)
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

func TestSuiteOptionsAreChecked(t *testing.T) {
	o, err := parseSuite([]string{
		"compare", "--against", "millrace", "--against", "rabbitmq=amqp://h,pid=7", "--rounds", "3", "--scale", "0.5", "--only", "W1,w3", "--out", "x",
	})
	if err != nil || len(o.cfg.Contenders) != 2 || o.cfg.Rounds != 3 || o.cfg.Scale != 0.5 || len(o.cfg.Only) != 2 || o.out != "x" {
		t.Errorf("%+v, %v", o, err)
	}
	for want, args := range map[string][]string{
		`"nonsense"`:   {"nonsense", "--against", "millrace"},
		"--against":    {"compare"},
		"two brokers":  {"compare", "--against", "millrace", "--against", "millrace"},
		"0 rounds":     {"compare", "--against", "millrace", "--rounds", "0"},
		"scale 0":      {"compare", "--against", "millrace", "--scale", "0"},
		"is no broker": {"compare", "--against", "somebody"},
		"maybe":        {"compare", "--against", "millrace", "--sync", "maybe"},
	} {
		if _, err := parseSuite(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v does not name %q", args, err, want)
		}
	}
}

func TestCommandLineTellsNoPassword(t *testing.T) {
	got := commandLine([]string{"compare", "--against", "a b=amqp://u:secret@h,pid=1", "--note", "x", "--rounds", "3", "--out", "/x"})
	if want := "compare --against 'a b=amqp://u:…@h,pid=1' --rounds 3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
