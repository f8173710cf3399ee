package main_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rogpeppe/go-internal/testscript"
)

var updateTranscripts = flag.Bool("update", false, "write what commands print into the transcripts")

// The transcripts in testdata/script show what commands print. Beside the commands of testscript they have these:
//
//	millrace ARG…                    runs millrace; ! before it expects that it fails
//	exits CODE millrace ARG…         runs it and expects the exit code
//	mklog SCENARIO DIR               makes a data folder, the same in each run (scenario_test.go)
//	like FILE                        compares what was printed with a file, but for numbers
//	damage FILE TEXT                 changes the last place of a file that says TEXT
//	broker start DIR [FLAG…]         runs a broker; its URL is in $URL
//	broker publish DIR QUEUE BODY…   declares a durable queue and publishes persistent messages to it
//	broker stop DIR                  stops it, and expects that it stops cleanly
//	broker kill DIR                  kills it
//	rabbitmq                         runs a RabbitMQ; its URL is in $URL. The condition [rabbitmq] says that there is one
//
// 'go test ./cmd/millrace -run Transcripts -update' writes them anew; read the difference.
func TestTranscripts(t *testing.T) {
	needsProcess(t)
	below := makeScenarios(t)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *updateTranscripts,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("TZ", "UTC")
			env.Values[brokersKey{}] = map[string]*Broker{}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "rabbitmq" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return rabbitMQHome() != "" && !testing.Short(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rabbitmq": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Setenv("URL", startRabbitMQ(t, rabbitMQHome()).url)
			},
			"exits":  exits,
			"damage": damage,
			"like":   like,
			"broker": brokerCommand,
			"mklog": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 2 || scenarios[args[0]] == nil {
					ts.Fatalf("usage: mklog SCENARIO DIR, with a scenario of scenario_test.go")
				}
				ts.Check(copyScenario(filepath.Join(below, args[0]), ts.MkAbs(args[1])))
			},
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE TEXT")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	at := bytes.LastIndex(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not say %q", args[0], args[1])
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}

// brokersKey is that of a script's brokers, by data folder.
type brokersKey struct{}

func brokerCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: broker start|publish|stop|kill DIR …")
	}
	brokers, dir := ts.Value(brokersKey{}).(map[string]*Broker), args[1]
	if args[0] == "start" {
		brokers[dir] = startForScript(ts, dir, args[2:])
		ts.Setenv("URL", brokers[dir].URL)
		return
	}
	b := brokers[dir]
	if b == nil {
		ts.Fatalf("no broker runs on %s", dir)
	}
	switch args[0] {
	case "publish":
		if len(args) < 4 {
			ts.Fatalf("usage: broker publish DIR QUEUE BODY…")
		}
		ts.Check(publishForScript(b.URL, args[2], args[3:]))
	case "stop":
		if code := b.Stop(); code != 0 {
			ts.Fatalf("exit code %d\n%s", code, b.stderr.String())
		}
	case "kill":
		b.Kill()
	default:
		ts.Fatalf("unknown: broker %s", args[0])
	}
}

func startForScript(ts *testscript.TestScript, dir string, flags []string) *Broker {
	path, err := exec.LookPath("millrace") // this binary
	ts.Check(err)
	b, err := launchBroker(path, ts.MkAbs(dir), flags...)
	if b != nil {
		ts.Defer(func() {
			if b.Running() {
				b.Kill()
			}
			if fault := processFault(b.stderr.String()); fault != "" {
				ts.Fatalf("broker: %s", fault)
			}
		})
	}
	ts.Check(err)
	return b
}

// publishForScript publishes to a queue and waits until all is confirmed.
func publishForScript(url, queue string, bodies []string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(queue, true, false, false, false, nil)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	for _, body := range bodies {
		if err != nil {
			return err
		}
		var confirm *amqp.DeferredConfirmation
		if confirm, err = ch.PublishWithDeferredConfirm("", queue, false, false, persistent(body)); err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err = confirm.WaitContext(ctx)
			cancel()
		}
	}
	return err
}
