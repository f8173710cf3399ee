package main_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A crash test that cannot fail proves nothing: each rule of the ledger is
// broken here once.
func TestLedgerNoticesEveryBrokenRuleOfCrashes(t *testing.T) {
	const queue = "crash.all"
	one, two, transient := messageID{1, 1}, messageID{1, 2}, messageID{1, 10}
	cases := map[string]struct {
		story func(*ledger)
		fault string // "" = no rule is broken
	}{
		"all is well": {func(l *ledger) {
			l.confirm(one)
			l.deliver(queue, one, false)
			l.ack(queue, one)
			l.stoppedCleanly()
			l.begin()
			l.drained(queue)
		}, ""},
		"unconfirmed message gone": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.begin()
			l.drained(queue)
		}, ""},
		"unsafe ack lost": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.ack(queue, one)
			l.begin()
			l.deliver(queue, one, true)
		}, ""},
		"confirmed message lost": {func(l *ledger) {
			l.confirm(one)
			l.begin()
			l.drained(queue)
		}, "LOST message 1 of publisher 1"},
		"delivered message lost": {func(l *ledger) {
			l.confirm(one)
			l.deliver(queue, one, false)
			l.begin()
			l.drained(queue)
		}, "LOST"},
		"recovered message lost": {func(l *ledger) {
			l.begin()
			l.deliver("crash.shared", one, true)
			l.drained(queue)
		}, "LOST"},
		"not marked": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.begin()
			l.deliver(queue, one, false)
		}, "without being marked"},
		"not marked, but it could not be known": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.flagsLost()
			l.begin()
			l.deliver(queue, one, false)
		}, ""},
		"not marked, and known since": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.flagsLost()
			l.begin()
			l.deliver(queue, one, false)
			l.begin()
			l.deliver(queue, one, false)
		}, "without being marked"},
		"out of order": {func(l *ledger) {
			l.deliver(queue, two, false)
			l.deliver(queue, one, false)
		}, "came first after message 2"},
		"redelivered out of order": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.deliver(queue, two, false)
			l.deliver(queue, one, true)
		}, ""},
		"acked message back without a restart": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.ack(queue, one)
			l.deliver(queue, one, true)
		}, "after its ack"},
		"acked message back after a clean stop": {func(l *ledger) {
			l.deliver(queue, one, false)
			l.ack(queue, one)
			l.stoppedCleanly()
			l.begin()
			l.deliver(queue, one, true)
		}, "gone for good"},
		"lost message back after a drain": {func(l *ledger) {
			l.begin()
			l.drained(queue)
			l.begin()
			l.deliver(queue, one, false)
		}, "gone for good"},
		"transient message survived": {func(l *ledger) {
			l.begin()
			l.deliver(queue, transient, false)
		}, "transient"},
		"message in a queue that does not take it": {func(l *ledger) {
			l.deliver("crash.two", one, false)
		}, "never published to it"},
		"message of the future": {func(l *ledger) {
			l.deliver(queue, messageID{1, 99}, false)
		}, "never published to it"},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.begin()
			for range 10 {
				l.send(1)
			}
			row.story(l)
			_, faults := l.result()
			got := strings.Join(faults, "\n")
			if (row.fault == "") != (got == "") || !strings.Contains(got, row.fault) {
				t.Errorf("faults %q, want %q", got, row.fault)
			}
		})
	}
}

func TestBodiesOfTheCrashTestTellEveryByte(t *testing.T) {
	for sequence := range 500 {
		id := messageID{publisher: 3, sequence: sequence + 1}
		body := id.body()
		if got, err := parseBody(body); err != nil || got != id {
			t.Fatalf("body of %v is read as %v, %v", id, got, err)
		}
		for _, at := range []int{0, bodyIDLength - 1, len(body) / 2, len(body) - 1} {
			changed := bytes.Clone(body)
			changed[at] ^= 1
			if got, err := parseBody(changed); err == nil && got == id {
				t.Fatalf("byte %d of %v may change", at, id)
			}
		}
		if _, err := parseBody(body[:len(body)-1]); err == nil {
			t.Fatalf("%v may be cut", id)
		}
	}
}

// The load and the drain work against any broker; nothing is killed here.
func TestLedgerHoldsWithoutCrashes(t *testing.T) {
	b := newBroker(t)
	if err := declareCrashQueues(b.URL); err != nil {
		t.Fatal(err)
	}
	c := b.connect(t)
	for _, queue := range crashQueues {
		c.atEnd(func(ch *amqp.Channel) { _, _ = ch.QueueDelete(queue.name, false, false, false) })
	}
	l := newLedger()
	l.begin()
	load := startLoad(b.URL, l, 2000, rand.New(rand.NewPCG(1, 2)))
	await(t, "confirms", load.enough)
	load.stop()
	if err := drain(b.URL, l); err != nil {
		t.Fatal(err)
	}
	sums, faults := l.result()
	for _, fault := range faults {
		t.Error(fault)
	}
	if sums.confirmed < 2000 || sums.delivered < sums.confirmed {
		t.Errorf("counted %+v", sums)
	}
}
