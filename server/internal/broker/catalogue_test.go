package broker_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// changeTopology makes some random change, mostly of what was changed before.
func (f *fixture) changeTopology(c *client, r *rand.Rand) {
	f.Helper()
	n := r.IntN(40)
	name := fmt.Sprintf("changing-%d", n)
	var err error
	switch r.IntN(12) {
	case 0, 1:
		c.queue(broker.QueueDeclaration{Name: name, Durable: true, Arguments: amqp.Table{"x-max-length": int32(n)}})
	case 2:
		_, err = c.DeleteQueue(name, false, false)
	case 3, 4:
		c.exchange(broker.ExchangeDeclaration{Name: name, Type: "topic", Durable: true, AutoDelete: n%2 == 0})
	case 5:
		err = c.DeleteExchange(name, false)
	case 6, 7:
		c.exchange(broker.ExchangeDeclaration{Name: name, Type: "topic", Durable: true, AutoDelete: n%2 == 0})
		c.queue(broker.QueueDeclaration{Name: name, Durable: true, Arguments: amqp.Table{"x-max-length": int32(n)}})
		c.bind(name, name, fmt.Sprint("key.", r.IntN(3)))
	case 8:
		err = c.UnbindQueue("amq.topic", name, "", nil)
	case 9:
		_, err = c.DeleteQueue(name, false, false)
		c.exchange(broker.ExchangeDeclaration{Name: "held-" + name, Type: "x-delayed-message", Durable: true, Arguments: amqp.Table{"x-delayed-type": "direct"}})
	case 10:
		user := access.User{Name: name, Tags: []string{fmt.Sprint("t", r.IntN(9))}}
		err = f.broker.ChangeAccess(access.PutUser{User: user}, access.PutVHost{VHost: access.VHost{Name: name}})
	case 11:
		p := policy.Policy{Name: name, Pattern: "^changing", ApplyTo: policy.ApplyToQueues, Definition: amqp.Table{"max-length": int64(n + 1)}}
		if err = f.broker.VHost("/").SetPolicy(p); err == nil && n%3 == 0 {
			err = f.broker.VHost("/").DeletePolicy(name, false)
		}
	}
	if err != nil {
		f.Fatal(err)
	}
}

// The catalogue is some KB and a file is 64, so about every second begins with one.
func TestTopologyOutlivesTheFilesThatToldIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			f := openWith(t, smallFiles)
			c := f.client()
			for i := range 40 {
				c.durableBound("amq.topic", fmt.Sprint("idle-", i), "some.key")
			}
			for round := range 3 {
				c.durable("noise")
				c.consume("noise", queue.Consumer{Tag: "c", NoAck: true})
				c.durable(fmt.Sprint("slow-", round))
				c.sendConfirmed(fmt.Sprint("slow-", round), "waits")
				continuing := 0
				for range 8 {
					for range r.IntN(20) {
						f.changeTopology(c, r)
					}
					f.traffic(60 + r.IntN(100))
					continuing += f.broker.Continuing()
					f.pass()
				}
				if continuing == 0 {
					t.Error("each file begins with a catalogue")
				}
				if round > 0 {
					for slow := range round + 1 {
						if _, err := c.DeleteQueue(fmt.Sprint("slow-", slow), false, false); err != nil {
							t.Fatal(err)
						}
					}
					f.recycle(c, "noise", f.broker.LastInLog())
				}
				want := f.broker.Topology()
				f.crash(loseIndex)
				if got := f.broker.Topology(); !slices.Equal(got, want) {
					t.Fatalf("round %d: got %d entries\n%q\nwant %d\n%q", round, len(got), got, len(want), want)
				}
				c = f.client()
			}
		})
	}
}

func TestLogWhoseCatalogueWasTakenAwayIsRefused(t *testing.T) {
	t.Parallel()
	f := openWith(t, smallFiles)
	c := f.client()
	for i := range 60 {
		c.durableBound("amq.topic", fmt.Sprint("idle-", i), "some.key")
	}
	f.traffic(300)
	f.seal()
	folder := f.copyData()
	loseIndex(folder)
	files, err := filepath.Glob(filepath.Join(folder, "log", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(path string) bool { return strings.Contains(path, "spare") })
	if err := os.Remove(files[0]); err != nil { // the next one does not begin with a catalogue
		t.Fatal(err)
	}
	cfg := f.cfg
	cfg.Data = folder
	b, err := broker.Open(cfg)
	if err == nil {
		b.Close()
		t.Fatal("a start that knows no queue")
	}
	if !strings.Contains(err.Error(), files[1]+" does not tell which queues there were") {
		t.Errorf("error %q", err)
	}
	var told strings.Builder
	cfg.Repair, cfg.Logger = true, slog.New(slog.NewTextHandler(&told, nil))
	if b, err = broker.Open(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(told.String(), "records passed over") {
		t.Errorf("what was given up is not told: %s", told.String())
	}
}

// A file begins with the catalogue as it was kept, whose horizons may be of long ago, and what has moved since. The power may
// be cut between the two.
func TestHandedOutMessageIsMarkedWhenTheLogEndsInACatalogue(t *testing.T) { // ACK-07
	t.Parallel()
	for name, index := range map[string]func(string){"with the index": func(string) {}, "without": loseIndex} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := openWith(t, smallFiles)
			c := f.client()
			c.durable("q")
			c.sendConfirmed("q", "a")
			c.consume("q", queue.Consumer{Tag: "c", Limit: 1})
			want(t, "delivered", c.received(1), "a")
			f.crash() // the next catalogue tells a horizon that is not open
			c = f.client()
			c.sendConfirmed("q", "b", "c")
			c.consume("q", queue.Consumer{Tag: "c"})
			want(t, "delivered", c.received(3), "a+ b c")
			f.traffic(100)
			f.crash(index, f.cutCatalogue)
			want(t, "messages", f.client().drain("q"), "a+ b+ c+")
		})
	}
}

// cutCatalogue ends the log behind the first batch of its newest file.
func (f *fixture) cutCatalogue(folder string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "log", "0*.seg"))
	if err != nil {
		f.Fatal(err)
	}
	path := files[len(files)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	header, err := segment.ParseHeader(data)
	if err != nil {
		f.Fatal(err)
	}
	batch, err := segment.ParseBatch(data, segment.HeaderSize, header.Epoch)
	if err != nil || header.Required&segment.FeatureContinues != 0 {
		f.Fatalf("%s does not begin with a catalogue: %v", path, err)
	}
	clear(data[segment.HeaderSize+batch.Length:])
	if err := os.WriteFile(path, data, 0o640); err != nil {
		f.Fatal(err)
	}
}

func TestUnchangedTopologyIsNotEncodedAgain(t *testing.T) {
	f := openWith(t, broker.Config{SegmentSize: 64 << 20})
	c := f.client()
	declare := func(from, to int) {
		for i := range to - from {
			c.durable(fmt.Sprint("idle-", from+i))
		}
	}
	declare(0, 2000)
	length := func(anew bool) (bytes int) {
		for _, part := range f.broker.Restate(anew) {
			bytes += part.Len()
		}
		return bytes
	}
	made := length(true)
	if n := testing.AllocsPerRun(10, func() { length(false) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	declare(2000, 2100)
	if kept, anew := length(false), length(true); kept <= made || kept > anew+100*64 {
		t.Errorf("%d bytes with 100 queues more, %d before, %d made anew", kept, made, anew)
	}
	for i := range 2000 {
		if _, err := c.DeleteQueue(fmt.Sprint("idle-", i), false, false); err != nil {
			t.Fatal(err)
		}
	}
	if kept, anew := length(false), length(true); kept > 2*anew+(16<<10) {
		t.Errorf("%d bytes after 2,000 deletions, %d made anew", kept, anew)
	}
}

// BenchmarkCatalogue is what the start of a segment costs under the append lock, without the write: made when the
// topology has changed much since the last one, kept else.
func BenchmarkCatalogue(b *testing.B) {
	for _, queues := range []int{0, 10_000, 100_000} {
		f := openWith(b, broker.Config{SegmentSize: 64 << 20})
		c := f.client()
		for i := range queues {
			c.durable(fmt.Sprint("millrace-bench.idle.", i))
		}
		for _, anew := range []bool{true, false} {
			name := map[bool]string{true: "made", false: "kept"}[anew]
			b.Run(fmt.Sprintf("queues=%d/%s", queues, name), func(b *testing.B) {
				bytes := 0
				b.ReportAllocs()
				for b.Loop() {
					bytes = 0
					for _, part := range f.broker.Restate(anew) {
						bytes += len(part.Seal(1, 1, 1, 1))
					}
				}
				b.ReportMetric(float64(bytes), "catalogue-bytes")
			})
		}
		f.stop()
	}
}
