package main_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestNothingIsHalfDoneAfterCrashes kills the broker in the middle of
// transactions and of dead letters on their way (chapter 12, DLX-04). After
// the restart each transaction is there as a whole, acknowledgements included,
// or not at all (and as a whole if its commit was answered), and each dead
// message is in one of the two queues, never in both or in none.
func TestNothingIsHalfDoneAfterCrashes(t *testing.T) {
	needsProcess(t)
	binaryPath(t)
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	run := &wholeRun{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 1)), letters: letters{open: map[int]bool{}}}
	for i := range chains {
		run.chains = append(run.chains, &chain{number: i})
	}
	defer func() {
		t.Logf("crash test of whole steps: seed %d, %d rounds, %d of them with a kill\n"+
			"transactions: %d committed, %d more found whole without an answer\ndead letters: %d confirmed, %d had moved",
			seed, run.rounds, run.kills, run.committed, run.found, run.letters.confirmed, run.letters.moved)
		if !t.Failed() { // what is lost or half done fails
			t.Logf("crash: %d rounds, 0 cut points, %d faults, %d looked for, 0 lost", run.rounds, run.kills, run.committed+run.letters.confirmed)
		}
	}()
	for range (*crashRounds + 1) / 2 { // so that both crash tests take their share
		run.round()
	}
}

// wholeRun is the test's state over all rounds, on one data folder.
type wholeRun struct {
	t                *testing.T
	dir              string
	random           *rand.Rand
	rounds, kills    int
	committed, found int
	chains           []*chain
	letters          letters
}

func (r *wholeRun) round() {
	r.t.Helper()
	r.rounds++
	pick := func(values ...string) string { return values[r.random.IntN(len(values))] }
	b, err := launchBroker(binaryPath(r.t), r.dir, "--sync", pick("disk", "os"),
		"--segment-size", pick("64KiB", "256KiB", "1MiB"), "--checkpoint-every", pick("10ms", "100ms", never))
	if err != nil {
		r.t.Fatalf("round %d: %v", r.rounds, err)
	}
	r.t.Cleanup(b.Kill)
	if r.rounds == 1 {
		r.must(b, r.declare(b.URL))
	} else {
		r.must(b, r.check(b.URL))
	}

	var clients sync.WaitGroup
	dying := make(chan struct{})
	failures := make(chan error, chains+2)
	client := func(run func() error) {
		clients.Go(func() {
			err := run()
			select {
			case <-dying: // cut off, as it was meant
			default:
				failures <- err
			}
		})
	}
	for _, c := range r.chains {
		client(func() error { return c.extend(b.URL, dying) })
	}
	seed := r.random.Uint64()
	client(func() error { return r.letters.send(b.URL, dying, rand.New(rand.NewPCG(seed, 2))) })
	client(func() error { return r.letters.reject(b.URL) })

	select {
	case err := <-failures:
		r.t.Fatalf("round %d: a client ended: %v\n%s", r.rounds, err, &b.stderr)
	case <-time.After(time.Duration(5+r.random.IntN(60)) * time.Millisecond):
	}
	close(dying)
	if r.random.IntN(10) > 0 {
		r.kills++
		b.Kill()
	} else if code := b.Stop(); code != 0 {
		r.t.Errorf("round %d: stop: exit code %d", r.rounds, code)
	}
	clients.Wait()
	if fault := processFault(b.stderr.String()); fault != "" {
		r.t.Fatalf("round %d: broker: %s\n%s", r.rounds, fault, &b.stderr)
	}
	b.verifyLog(r.t)
	if r.random.IntN(4) == 0 { // all of it from the log
		r.must(b, os.RemoveAll(filepath.Join(r.dir, "index")))
	}
}

func (r *wholeRun) must(b *Broker, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("round %d: %v\n%s", r.rounds, err, &b.stderr)
	}
}

func (r *wholeRun) declare(url string) error {
	conn, ch, err := dialChannel(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	declare := func(name string, args amqp.Table) {
		_, failed := ch.QueueDeclare(name, true, false, false, false, args)
		err = errors.Join(err, failed)
	}
	for _, c := range r.chains {
		for _, name := range c.queues() {
			declare(name, nil)
		}
		err = errors.Join(err, ch.Tx(), put(ch, c.queues()[0], 1, 0), ch.TxCommit())
		if err != nil {
			return err
		}
	}
	toGrave := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lettersGrave}
	expiring := amqp.Table{"x-message-ttl": int32(8)}
	for key, value := range toGrave {
		expiring[key] = value
	}
	declare(lettersRejected, toGrave)
	declare(lettersExpired, expiring)
	declare(lettersGrave, nil)
	return err
}

// check holds what the restart brought back against what was promised, and
// takes it away in a transaction of its own.
func (r *wholeRun) check(url string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, c := range r.chains {
		promised := c.committed
		if err := c.check(conn); err != nil {
			return err
		}
		r.committed += promised - c.counted
		r.found += c.committed - promised
		c.counted = c.committed
	}
	return r.letters.check(conn)
}

// put publishes a persistent message that is a number, with as many octets
// behind it.
func put(ch *amqp.Channel, queue string, number, filler int) error {
	body := append(binary.BigEndian.AppendUint64(nil, uint64(number)), make([]byte, filler)...)
	return ch.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
}

// takeAll gets all that is ready in a queue, and returns the numbers.
func takeAll(ch *amqp.Channel, queue string) (numbers []int, err error) {
	for {
		message, ok, err := ch.Get(queue, false)
		if err != nil || !ok {
			return numbers, err
		}
		numbers = append(numbers, int(binary.BigEndian.Uint64(message.Body)))
	}
}

// chains is how many clients work with transactions at the same time.
const chains = 3

// chain is a row of transactions. The n-th takes the token n from the first
// queue, puts n+1 there, and leaves its mark n in two others, a few times.
type chain struct {
	number    int
	committed int // transactions whose commit was answered, or that were found
	checked   int // transactions whose marks have been taken away
	counted   int
}

func (c *chain) queues() []string {
	return []string{fmt.Sprint("chain.", c.number, ".token"), fmt.Sprint("chain.", c.number, ".left"), fmt.Sprint("chain.", c.number, ".right")}
}

// marks is how often the n-th transaction leaves its mark.
func marks(n int) int { return 1 + n%3 }

// extend adds transactions until the broker dies.
func (c *chain) extend(url string, dying <-chan struct{}) error {
	conn, ch, err := dialChannel(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ch.Tx(); err != nil {
		return err
	}
	queues := c.queues()
	for n := c.committed + 1; ; n++ {
		select {
		case <-dying:
			return nil
		default:
		}
		token, ok, err := ch.Get(queues[0], false)
		if err != nil || !ok {
			return fmt.Errorf("chain %d: no token %d: %v", c.number, n, err)
		}
		if got := int(binary.BigEndian.Uint64(token.Body)); got != n {
			return fmt.Errorf("chain %d: token %d where %d is due", c.number, got, n)
		}
		if n%5 == 0 { // what is rolled back leaves nothing
			if err := errors.Join(put(ch, queues[1], n, 0), token.Ack(false), ch.TxRollback()); err != nil {
				return err
			}
		}
		for range marks(n) {
			filler := n % 500
			if n%7 == 0 {
				filler = 20_000
			}
			if err := errors.Join(put(ch, queues[1], n, filler), put(ch, queues[2], n, 0)); err != nil {
				return err
			}
		}
		if err := errors.Join(token.Ack(false), put(ch, queues[0], n+1, 0), ch.TxCommit()); err != nil {
			return err
		}
		c.committed = n
	}
}

// check finds out how many transactions there are, by the token, and that
// each of them is whole.
func (c *chain) check(conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Tx(); err != nil {
		return err
	}
	queues := c.queues()
	tokens, err := takeAll(ch, queues[0])
	if err != nil {
		return err
	}
	if len(tokens) != 1 || tokens[0] != c.committed+1 && tokens[0] != c.committed+2 {
		return fmt.Errorf("chain %d: tokens %v, and commit %d was answered last", c.number, tokens, c.committed)
	}
	c.committed = tokens[0] - 1
	var want []int
	for n := c.checked + 1; n <= c.committed; n++ {
		for range marks(n) {
			want = append(want, n)
		}
	}
	for _, queue := range queues[1:] {
		got, err := takeAll(ch, queue)
		if err != nil {
			return err
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s: marks %v, want %v of %d transactions", queue, got, want, c.committed)
		}
	}
	// The marks go with the token, which is put back: this commit is promised too.
	if err := errors.Join(ch.Ack(0, true), put(ch, queues[0], tokens[0], 0), ch.TxCommit()); err != nil {
		return err
	}
	c.checked = c.committed
	return ch.Close()
}

const (
	lettersRejected = "letters.rejected"
	lettersExpired  = "letters.expired"
	lettersGrave    = "letters.grave"
)

// letters are numbered messages, confirmed, that die by rejection or age.
type letters struct {
	sent, first      int          // the last one, and the first of this round
	confirmed, moved int          // over all rounds
	open             map[int]bool // neither confirmed nor seen

	mu struct {
		sync.Mutex
		confirmed map[int]bool // of this round
	}
}

func (l *letters) send(url string, dying <-chan struct{}, random *rand.Rand) error {
	conn, ch, err := dialChannel(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 64))
	first := l.sent
	l.mu.Lock()
	l.mu.confirmed, l.first = map[int]bool{}, first+1
	l.mu.Unlock()
	room := make(chan struct{}, 50)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for confirm := range confirms {
			l.mu.Lock()
			l.mu.confirmed[first+int(confirm.DeliveryTag)] = confirm.Ack
			l.mu.Unlock()
			<-room
		}
	}()
	defer func() { <-ended }()
	defer conn.Close()
	for {
		select {
		case <-dying:
			return nil
		case <-ended:
			return errConnectionLost
		case room <- struct{}{}:
		}
		l.sent++
		if err := put(ch, []string{lettersRejected, lettersExpired}[random.IntN(2)], l.sent, random.IntN(300)); err != nil {
			return err
		}
	}
}

// reject sends everything to the grave, some of it at once and some together.
func (l *letters) reject(url string) error {
	conn, ch, err := dialChannel(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	deliveries, err := ch.Consume(lettersRejected, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for delivery := range deliveries {
		if delivery.DeliveryTag%3 == 1 {
			continue // the next but one takes it along
		}
		if err := delivery.Nack(delivery.DeliveryTag%3 == 0, false); err != nil {
			return err
		}
	}
	return errConnectionLost
}

// check waits until everything that expires is dead, and looks for each
// letter in its queue and in the grave.
func (l *letters) check(conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Tx(); err != nil {
		return err
	}
	alive, err := takeAll(ch, lettersRejected)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[int]int{}
	count := func(numbers []int) {
		for _, n := range numbers {
			seen[n]++
		}
	}
	missing := func() (n int) { // confirmed, and not seen; they may be on their way
		for letter := range l.mu.confirmed {
			if seen[letter] == 0 {
				n++
			}
		}
		return n
	}
	count(alive)
	for deadline := time.Now().Add(patience); ; {
		dead, err := takeAll(ch, lettersGrave)
		if err != nil {
			return err
		}
		count(dead)
		l.moved += len(dead)
		waiting, err := ch.QueueDeclarePassive(lettersExpired, true, false, false, false, nil)
		if err != nil {
			return err
		}
		if waiting.Messages == 0 && missing() == 0 || time.Now().After(deadline) {
			break
		}
	}
	var faults []string
	for n := l.first; n <= l.sent; n++ {
		if seen[n] == 0 && !l.mu.confirmed[n] {
			l.open[n] = true // it may be on its way, and come next time
		} else if seen[n] != 1 {
			faults = append(faults, fmt.Sprintf("letter %d is there %d times (confirmed: %v)", n, seen[n], l.mu.confirmed[n]))
		}
		delete(seen, n)
	}
	for n, times := range seen {
		if times > 1 || !l.open[n] {
			faults = append(faults, fmt.Sprintf("letter %d of an earlier round is there %d times", n, times))
		}
		delete(l.open, n)
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults[:min(len(faults), 20)], "\n"))
	}
	l.confirmed += len(l.mu.confirmed)
	if err := errors.Join(ch.Ack(0, true), ch.TxCommit()); err != nil {
		return err
	}
	// The next round's broker may be killed before anything is sent to it.
	l.mu.confirmed, l.first = nil, l.sent+1
	return ch.Close()
}
