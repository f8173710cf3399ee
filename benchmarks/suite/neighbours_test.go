package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/client"
)

func TestReportComparesWithAlone(t *testing.T) {
	s := Neighbours()
	o := &Outcome{Suite: s, Brokers: []string{"one"}, Versions: []string{""}, Rounds: 1}
	for i, c := range s.Cases[:2] {
		row := o.rowsOf(c)[0]
		ms := time.Duration(i+1) * time.Millisecond
		r := load.Result{
			Published: 10, Delivered: 10, Elapsed: time.Second, GeneratorCPU: 250 * time.Millisecond,
			Confirm: &load.Latency{P50: ms, P99: 5 * ms}, EndToEnd: &load.Latency{P50: ms, P99: 3 * ms},
			Broker: &load.Cost{CPU: 500 * time.Millisecond, PeakRSS: 40 << 20, PeakAnon: 10 << 20},
		}
		if i > 0 {
			r.Neighbour = &load.Neighbour{CPU: 750 * time.Millisecond, PublishRate: 2000, DeliverRate: 200}
		}
		row.Results[0] = []load.Result{r}
	}
	r := &Report{Outcome: o, Title: "Test"}
	text := r.Markdown(true)
	for _, want := range []string{
		"| nobody | one | 1.00 / 3.00 | 1.00 / 5.00 | 10.0 / 40.0 | 0.50 / 0.25 / – | – | – |",
		"| slow | one | 2.00 / 6.00 (2.0× / 2.0×) | 2.00 / 10.0 (2.0× / 2.0×) | 10.0 / 40.0 | 0.50 / 0.25 / 0.75 | 2,000 | 200 |",
		"`--size 4096", "nice 19", "![neighbours](neighbours.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A generator that says what a neighbour should, or ends by itself.
func TestNeighbourSaysWhatItDid(t *testing.T) {
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "generator")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, err := client.ParseURL("amqp://h", client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	const answer = `echo '{"results":[{"interrupted":true,"published":30,"delivered":10,"publish_time":1000000000,"elapsed":1000000000}]}'`
	b, err := startBeside(script(answer+"; exit 130"), a, &Neighbour{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.begun(t.Context()); err != nil { // it has ended
		t.Error(err)
	}
	if err := <-b.ended; err == nil {
		t.Error("exit code 0")
	}
	b.ended <- nil
	if did, err := b.stop(); err != nil || did.PublishRate != 30 || did.DeliverRate != 10 {
		t.Errorf("%+v, %v", did, err)
	}
	begins := `for file; do [ "$before" = --csv ] && printf 'names\n1\n' >"$file"; before=$file; done; exec sleep 100`
	if b, err = startBeside(script(begins), a, &Neighbour{}); err != nil {
		t.Fatal(err)
	}
	if err := b.begun(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.stop(); err == nil {
		t.Error("a neighbour that says nothing has done something")
	}
	if _, err := os.Stat(b.seconds); err == nil {
		t.Errorf("%s is left", b.seconds)
	}
	if b, err = startBeside(script("echo no luck >&2; exit 1"), a, &Neighbour{}); err != nil {
		t.Fatal(err)
	}
	b.ended <- <-b.ended
	if _, err := b.stop(); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("error %v", err)
	}
}
