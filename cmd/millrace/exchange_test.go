package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// 7.3
func TestPublishSubscribeGivesEverySubscriberACopy(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	news := c.exchange("news", "fanout", exchangeSpec{})
	var subscribers []*consumer
	for range 3 {
		q := c.declare("", queueSpec{exclusive: true})
		c.bind(q, "ignored", news, nil)
		subscribers = append(subscribers, c.consumer(q, consumerSpec{noAck: true}))
	}
	c.sendAll(news, "any", "one", "two")
	for _, subscriber := range subscribers {
		subscriber.wantBodies("one", "two")
	}
}

// 7.2
func TestDirectExchangeRoutesByKey(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	logs := c.exchange("logs", "direct", exchangeSpec{})
	errors, all := c.queue("errors", queueSpec{}), c.queue("all", queueSpec{})
	c.bind(errors, "error", logs, nil)
	c.bind(all, "error", logs, nil)
	c.bind(all, "info", logs, nil)
	c.send(logs, "error", "disk on fire")
	c.send(logs, "info", "hello")
	c.send(logs, "Error", "another key")
	c.wantBodies(errors, "disk on fire")
	c.wantBodies(all, "disk on fire", "hello")
	c.wantReady(errors, 0)
	c.wantReady(all, 0)
}

// TOPIC-01 to TOPIC-04
func TestTopicExchangeMatchesWords(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	cases := []struct {
		pattern      string
		hits, misses []string
	}{
		{"a.b", []string{"a.b"}, []string{"a", "a.b.c", "a.b.", ""}},
		{"*", []string{"a", "*"}, []string{"", "a.b", "a."}},
		{"*.*", []string{".", "a.", ".a", "a.b"}, []string{"a", "a.b.c"}},
		{"a.*.c", []string{"a.b.c", "a..c"}, []string{"a.c", "a.b.b.c"}},
		{"#", []string{"", "a", "a.b.c", "."}, nil},
		{"a.#", []string{"a", "a.b", "a.b.c"}, []string{"", "ab", "b.a"}},
		{"#.z", []string{"z", "a.z", "a.b.z"}, []string{"", "z.a"}},
		{"#.a.#", []string{"a", "x.a", "a.x", "x.a.y"}, []string{"", "x.y"}},
		{"a.#.z", []string{"a.z", "a.b.z", "a.b.c.z"}, []string{"a", "z", "a.z.b"}},
		{"", []string{""}, []string{"a", "."}},
		{"a*", []string{"a*"}, []string{"a", "ab"}},
	}
	for _, row := range cases {
		t.Run(row.pattern, func(t *testing.T) {
			ch := c.newChannel()
			exchange := ch.exchange("topics."+row.pattern, "topic", exchangeSpec{})
			q := ch.queue("q."+row.pattern, queueSpec{})
			ch.bind(q, row.pattern, exchange, nil)
			for _, key := range row.misses {
				ch.send(exchange, key, "miss "+key)
			}
			for _, key := range row.hits {
				ch.send(exchange, key, "hit "+key)
			}
			for _, key := range row.hits {
				ch.wantBodies(q, "hit "+key)
			}
			ch.wantReady(q, 0)
		})
	}
}

// HEADERS-01 to HEADERS-05
func TestHeadersExchangeMatchesArguments(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	cases := map[string]struct {
		binding      amqp.Table
		hits, misses []amqp.Table
	}{
		"all is the default": {
			amqp.Table{"a": "1", "b": int32(2)},
			[]amqp.Table{{"a": "1", "b": int32(2)}, {"a": "1", "b": int64(2), "c": true}},
			[]amqp.Table{{"a": "1"}, {"a": "1", "b": "2"}, {"A": "1", "b": int32(2)}, nil},
		},
		"any": {
			amqp.Table{"x-match": "any", "a": "1", "b": "2"},
			[]amqp.Table{{"a": "1"}, {"b": "2", "a": "0"}},
			[]amqp.Table{{"a": "2"}, {"c": "1"}, nil},
		},
		"void needs only presence": {
			amqp.Table{"x-match": "all", "a": nil},
			[]amqp.Table{{"a": "anything"}, {"a": int32(5)}},
			[]amqp.Table{{"b": "1"}, nil},
		},
		"keys that start x- are ignored": {
			amqp.Table{"x-match": "all", "x-a": "1", "b": "2"},
			[]amqp.Table{{"b": "2"}, {"b": "2", "x-a": "other"}},
			[]amqp.Table{{"x-a": "1"}},
		},
		"keys that start x- count with all-with-x": {
			amqp.Table{"x-match": "all-with-x", "x-a": "1", "b": "2"},
			[]amqp.Table{{"x-a": "1", "b": "2"}},
			[]amqp.Table{{"b": "2"}, {"x-a": "2", "b": "2"}},
		},
		"all of nothing": {amqp.Table{"x-match": "all"}, []amqp.Table{nil, {"a": "1"}}, nil},
		"any of nothing": {amqp.Table{"x-match": "any"}, nil, []amqp.Table{nil, {"a": "1"}}},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			ch := c.newChannel()
			exchange := ch.exchange("headers."+name, "headers", exchangeSpec{})
			q := ch.queue("q."+name, queueSpec{})
			ch.bind(q, "", exchange, row.binding)
			for _, headers := range row.misses {
				ch.sendMessage(exchange, "", amqp.Publishing{Headers: headers, Body: []byte("miss")})
			}
			for _, headers := range row.hits {
				ch.sendMessage(exchange, "", amqp.Publishing{Headers: headers, Body: []byte("hit")})
			}
			for range row.hits {
				ch.wantBodies(q, "hit")
			}
			ch.wantReady(q, 0)
		})
	}
}

// HEADERS-01
func TestHeadersBindingWithAnUnknownMatch(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	exchange, q := c.exchange("headers", "headers", exchangeSpec{}), c.queue("q", queueSpec{})
	err := c.QueueBind(q, "", exchange, false, amqp.Table{"x-match": "foo"})
	wantError(t, err, 406,
		"PRECONDITION_FAILED - Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x")
}

// ROUTE-02, EXCH-23
func TestExchangeToExchangeBindings(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	source := c.exchange("source", "topic", exchangeSpec{})
	middle := c.exchange("middle", "fanout", exchangeSpec{})
	q := c.queue("q", queueSpec{})
	c.bind(q, "", middle, nil)
	for _, binding := range [][2]string{{middle, source}, {source, middle}} { // a cycle
		if err := c.ExchangeBind(binding[0], "kern.#", binding[1], false, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.send(source, "kern.disk", "through")
	c.send(source, "user", "stays out")
	message := c.wantBodies(q, "through")[0]
	if message.Exchange != source || message.RoutingKey != "kern.disk" {
		t.Errorf("delivered from %q with key %q", message.Exchange, message.RoutingKey)
	}
	if err := c.ExchangeUnbind(middle, "kern.#", source, false, nil); err != nil {
		t.Fatal(err)
	}
	c.send(source, "kern.disk", "nowhere")
	c.wantReady(q, 0)
}

// ROUTE-01
func TestQueueGetsOneCopyWhateverItsBindings(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	exchange, q := c.exchange("topics", "topic", exchangeSpec{}), c.queue("q", queueSpec{})
	for _, pattern := range []string{"#", "a.*", "*.b", "a.b", "a.b"} {
		c.bind(q, pattern, exchange, nil)
	}
	c.send(exchange, "a.b", "once")
	c.wantBodies(q, "once")
	c.wantReady(q, 0)
}

// EXCH-20, EXCH-22
func TestUnbindNeedsTheSameArguments(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	exchange, q := c.exchange("direct", "direct", exchangeSpec{}), c.queue("q", queueSpec{})
	c.bind(q, "key", exchange, amqp.Table{"note": "a"})
	unbind := func(key string, args amqp.Table) {
		t.Helper()
		if err := c.QueueUnbind(q, key, exchange, args); err != nil {
			t.Fatal(err)
		}
	}
	unbind("key", nil)
	unbind("other", nil)
	c.send(exchange, "key", "still bound")
	c.wantBodies(q, "still bound")
	unbind("key", amqp.Table{"note": "a"})
	c.send(exchange, "key", "nowhere")
	c.wantReady(q, 0)
}

// ROUTE-03
func TestAlternateExchangeTakesWhatNobodyWanted(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	spare := c.exchange("spare", "fanout", exchangeSpec{})
	main := c.exchange("main", "direct", exchangeSpec{args: amqp.Table{"alternate-exchange": spare}})
	wanted, unwanted := c.queue("wanted", queueSpec{}), c.queue("unwanted", queueSpec{})
	c.bind(wanted, "key", main, nil)
	c.bind(unwanted, "", spare, nil)
	c.send(main, "key", "wanted")
	c.send(main, "other", "unwanted")
	c.wantBodies(wanted, "wanted")
	c.wantBodies(unwanted, "unwanted")
	c.wantReady(unwanted, 0)
}

// ROUTE-05, EXCH-03
func TestDefaultExchangeRoutesByQueueName(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.send("", q, "direct to it")
	c.wantBodies(q, "direct to it")
}

// EXCH-03, EXCH-04, EXCH-09, EXCH-11: what is refused about exchanges.
func TestExchangeRefusals(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	inUse := c.exchange("in use", "direct", exchangeSpec{})
	c.bind(q, "key", inUse, nil)
	const onDefault = "ACCESS_REFUSED - operation not permitted on the default exchange"
	cases := map[string]struct {
		code int
		text string
		do   func(*channel) error
	}{
		"declare the default exchange": {403, onDefault, func(ch *channel) error {
			return ch.ExchangeDeclare("", "direct", true, false, false, false, nil)
		}},
		"delete the default exchange": {403, onDefault, func(ch *channel) error {
			return ch.ExchangeDelete("", false, false)
		}},
		"bind to the default exchange": {403, onDefault, func(ch *channel) error {
			return ch.QueueBind(q, "key", "", false, nil)
		}},
		"unbind from the default exchange": {403, onDefault, func(ch *channel) error {
			return ch.QueueUnbind(q, q, "", nil)
		}},
		"bind an exchange to the default exchange": {403, onDefault, func(ch *channel) error {
			return ch.ExchangeBind(inUse, "key", "", false, nil)
		}},
		"declare a reserved name": {
			403, "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'",
			func(ch *channel) error {
				return ch.ExchangeDeclare("amq.foo", "direct", true, false, false, false, nil)
			},
		},
		"delete a system exchange": {
			403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
			func(ch *channel) error { return ch.ExchangeDelete("amq.direct", false, false) },
		},
		"passive declare of a missing exchange": {
			404, "NOT_FOUND - no exchange 'nox' in vhost '/'",
			func(ch *channel) error {
				return ch.ExchangeDeclarePassive("nox", "direct", true, false, false, false, nil)
			},
		},
		"delete if-unused while bound": {
			406, "PRECONDITION_FAILED - exchange '" + inUse + "' in vhost '/' in use",
			func(ch *channel) error { return ch.ExchangeDelete(inUse, true, false) },
		},
		"bind from a missing exchange": {
			404, "NOT_FOUND - no exchange 'nox' in vhost '/'",
			func(ch *channel) error { return ch.QueueBind(q, "key", "nox", false, nil) },
		},
		"bind a missing queue": {
			404, "NOT_FOUND - no queue 'noq' in vhost '/'",
			func(ch *channel) error { return ch.QueueBind("noq", "key", inUse, false, nil) },
		},
		"bind a missing exchange to an exchange": {
			404, "NOT_FOUND - no exchange 'nox' in vhost '/'",
			func(ch *channel) error { return ch.ExchangeBind("nox", "key", inUse, false, nil) },
		},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(t, row.do(c.newChannel()), row.code, row.text)
		})
	}
}

// EXCH-06
func TestExchangeRedeclaredOtherwise(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e := c.exchange("e", "direct", exchangeSpec{durable: true})
	mismatch := func(arg, received, current string) string {
		return "PRECONDITION_FAILED - inequivalent arg '" + arg + "' for exchange '" + e +
			"' in vhost '/': received " + received + " but current is " + current
	}
	cases := map[string]struct {
		kind string
		spec exchangeSpec
		text string
	}{
		"type":        {"fanout", exchangeSpec{durable: true}, mismatch("type", "'fanout'", "'direct'")},
		"durable":     {"direct", exchangeSpec{}, mismatch("durable", "'false'", "'true'")},
		"auto-delete": {"direct", exchangeSpec{durable: true, autoDelete: true}, mismatch("auto_delete", "'true'", "'false'")},
		"internal":    {"direct", exchangeSpec{durable: true, internal: true}, mismatch("internal", "'true'", "'false'")},
		"alternate exchange": {
			"direct",
			exchangeSpec{durable: true, args: amqp.Table{"alternate-exchange": "x"}},
			mismatch("alternate-exchange", "the value 'x' of type 'longstr'", "none"),
		},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.newChannel().ExchangeDeclare(e, row.kind, row.spec.durable, row.spec.autoDelete, row.spec.internal, false, row.spec.args)
			wantError(t, err, 406, row.text)
		})
	}
	same := c.newChannel()
	if err := same.ExchangeDeclare(e, "direct", true, false, false, false, amqp.Table{"other": "ignored"}); err != nil {
		t.Errorf("the same declaration again: %v", err)
	}
	if err := same.ExchangeDeclarePassive(e, "topic", false, false, false, false, nil); err != nil {
		t.Errorf("passive: %v", err)
	}
}

// EXCH-02
func TestUnknownExchangeType(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	err := c.ExchangeDeclare(c.name("e"), "x-nope", false, false, false, false, nil)
	if c.is3() {
		wantError(t, err, 503, "COMMAND_INVALID - unknown exchange type 'x-nope'")
		return
	}
	wantError(t, err, 406, "PRECONDITION_FAILED - unknown exchange type 'x-nope'")
}

// 6.1
func TestPredeclaredExchangesExist(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
		"amq.headers": "headers", "amq.match": "headers",
	} {
		if err := c.ExchangeDeclare(name, kind, true, false, false, false, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// EXCH-09
func TestInternalExchangeTakesNoPublish(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	front := c.exchange("front", "fanout", exchangeSpec{})
	inner := c.exchange("inner", "fanout", exchangeSpec{internal: true})
	q := c.queue("q", queueSpec{})
	c.bind(q, "", inner, nil)
	if err := c.ExchangeBind(inner, "", front, false, nil); err != nil {
		t.Fatal(err)
	}
	c.send(front, "", "through the front")
	c.wantBodies(q, "through the front")
	c.send(inner, "", "refused")
	c.wantClosed(403, "ACCESS_REFUSED - cannot publish to internal exchange '"+inner+"' in vhost '/'")
}

// EXCH-10
func TestAutoDeleteExchangeGoesWithItsLastBinding(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e := c.exchange("e", "direct", exchangeSpec{autoDelete: true})
	one, two := c.queue("one", queueSpec{}), c.queue("two", queueSpec{})
	c.bind(one, "key", e, nil)
	c.bind(two, "key", e, nil)
	if err := c.QueueUnbind(one, "key", e, nil); err != nil {
		t.Fatal(err)
	}
	c.send(e, "key", "still there")
	c.wantBodies(two, "still there")
	if _, err := c.QueueDelete(two, false, false, false); err != nil {
		t.Fatal(err)
	}
	err := c.ExchangeDeclarePassive(e, "direct", false, false, false, false, nil)
	wantError(t, err, 404, "NOT_FOUND - no exchange '"+e+"' in vhost '/'")
}

// EXCH-11
func TestDeletedExchangeTakesItsBindingsAlong(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e, q := c.exchange("e", "fanout", exchangeSpec{}), c.queue("q", queueSpec{})
	c.bind(q, "", e, nil)
	if err := c.ExchangeDelete(e, false, false); err != nil {
		t.Fatal(err)
	}
	if err := c.ExchangeDelete(e, false, false); err != nil {
		t.Fatalf("deleting it again: %v", err)
	}
	c.exchange("e", "fanout", exchangeSpec{})
	c.send(e, "", "nowhere")
	c.wantReady(q, 0)
}
