package access_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

func TestChangesCountFromTheNextQuestionOn(t *testing.T) { // AUTH-04
	control := build(t, vhost("/"), user("ann"), permit("ann", "/", ".*", "^a", ".*"))
	cache := access.NewCache(control, access.Subject{User: "ann", VHost: "/"})
	check := func(want string) {
		t.Helper()
		wantRefusal(t, cache.Check(access.Write, access.Exchange("a"), method), amqp.AccessRefused, method, want)
	}
	topic := func(want string) {
		t.Helper()
		wantRefusal(t, cache.CheckTopic(access.Write, "a", "k", method), amqp.AccessRefused, method, want)
	}
	const refused = "write access to exchange 'a' in vhost '/' refused for user 'ann'"
	const topicRefused = "write access to topic 'k' in exchange 'a' in vhost '/' refused for user 'ann'"
	steps := []struct {
		change      access.Change
		want, topic string
	}{
		{permit("ann", "/", ".*", "^b", ".*"), refused, ""},
		{permit("ann", "/", ".*", ".*", ".*"), "", ""},
		{permitTopic("ann", "/", "a", "^x", ".*"), "", topicRefused},
		{permitTopic("ann", "/", "a", "^k", ".*"), "", ""},
		{permitTopic("ann", "/", "a", "^x", ".*"), "", topicRefused},
		{access.ClearTopicPermission{User: "ann", VHost: "/", Exchange: "b"}, "", topicRefused},
		{access.ClearTopicPermission{User: "ann", VHost: "/", Exchange: "a"}, "", ""},
		{access.ClearPermission{User: "ann", VHost: "/"}, refused, ""},
		{permit("ann", "/", ".*", ".*", ".*"), "", ""},
		{access.DeleteUser{Name: "ann"}, refused, ""},
		{user("ann"), refused, ""}, // what was permitted went with the old one
		{permit("ann", "/", ".*", ".*", ".*"), "", ""},
		{access.DeleteVHost{Name: "/"}, refused, ""},
	}
	check("")
	topic("")
	for _, step := range steps {
		apply(t, control, step.change)
		for range 2 {
			check(step.want)
			topic(step.topic)
		}
	}
}

func TestCacheAnswersLikeTheStateHoweverMuchIsAsked(t *testing.T) {
	control := build(t, vhost("/"), user("ann"), permit("ann", "/", "", "0$", "5$"))
	who := access.Subject{User: "ann", VHost: "/"}
	cache := access.NewCache(control, who)
	if cache.Subject() != who {
		t.Errorf("asks for %+v", cache.Subject())
	}
	for round := range 3 {
		for i := range 200 {
			name := fmt.Sprint(i)
			for _, o := range []access.Operation{access.Configure, access.Write, access.Read} {
				for _, r := range []access.Resource{access.Queue(name), access.Exchange(name)} {
					got, want := cache.Check(o, r, method), control.State().Check(who, o, r, method)
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("round %d: %s %v: got %v, want %v", round, o, r, got, want)
					}
					if cache.Remembers(o, r.Kind, []byte(name)) != (want == nil) {
						t.Fatalf("round %d: %s %v is remembered although it was refused, or forgotten at once", round, o, r)
					}
				}
			}
		}
	}
}

// Run with the race detector: readers need no lock, and see a state that was published.
func TestReadersMeetAWriter(t *testing.T) {
	control := build(t, vhost("/"), user("ann"), permit("ann", "/", ".*", ".*", ".*"))
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			cache := access.NewCache(control, access.Subject{User: "ann", VHost: "/"})
			for range 2000 {
				if cache.Check(access.Write, access.Exchange("a"), method) == nil &&
					cache.Check(access.Configure, access.Exchange("b"), method) != nil {
					continue // a change came between
				}
				cache.CheckTopic(access.Write, "a", "k", method)
			}
		})
	}
	for i := range 500 {
		apply(t, control, permit("ann", "/", ".*", fmt.Sprint("^", i%2), ".*"), permitTopic("ann", "/", "a", fmt.Sprint(i), ""))
	}
	readers.Wait()
}

func TestRememberedAnswersCostNoAllocation(t *testing.T) {
	control := build(t, vhost("/"), user("ann"), permit("ann", "/", "^a", "^a", "^a"), permitTopic("ann", "/", "amq.topic", "^k", "^k"))
	cache := access.NewCache(control, access.Subject{User: "ann", VHost: "/"})
	name := []byte("a-1")
	err := cache.Check(access.Write, access.Exchange("a-1"), method)
	if err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(1000, func() {
		if cache.Check(access.Write, access.Exchange("a-1"), method) != nil ||
			!cache.Remembers(access.Write, access.KindExchange, name) ||
			cache.CheckTopic(access.Write, "amq.topic", "k.1", method) != nil ||
			cache.CheckTopic(access.Write, "a-1", "k.1", method) != nil {
			t.Error("refused")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkCachedCheck(b *testing.B) {
	control := build(b, vhost("/"), user("ann"), permit("ann", "/", "^a", "^a", "^a"))
	cache := access.NewCache(control, access.Subject{User: "ann", VHost: "/"})
	b.ReportAllocs()
	for b.Loop() {
		if cache.Check(access.Write, access.Exchange("a-1"), method) != nil {
			b.Fatal("refused")
		}
	}
}
