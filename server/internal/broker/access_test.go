package broker_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// change changes access.
func (f *fixture) change(changes ...access.Change) {
	f.Helper()
	if err := f.broker.ChangeAccess(changes...); err != nil {
		f.Fatal(err)
	}
}

// account is a user with a password of that name, who may do what the patterns say.
func account(t testing.TB, name, vhost, configure, write, read string, tags ...string) []access.Change {
	t.Helper()
	hash, err := access.HashPassword(rand.Reader, access.SHA256, name)
	if err != nil {
		t.Fatal(err)
	}
	return []access.Change{
		access.PutUser{User: access.User{Name: name, PasswordHash: hash, Hashing: access.SHA256, Tags: tags}},
		access.SetPermission{Permission: access.Permission{User: name, VHost: vhost, Configure: configure, Write: write, Read: read}},
	}
}

func host(name string) access.PutVHost { return access.PutVHost{VHost: access.VHost{Name: name}} }

// tell describes everything that is known, without the salted hashes.
func tell(s *access.State) string {
	var lines []string
	for c := range s.Changes() {
		t := access.Encode(c)
		delete(t, "password_hash")
		lines = append(lines, fmt.Sprint(t))
	}
	return strings.Join(lines, "\n")
}

func TestAccessReturns(t *testing.T) { // AUTH-07, CONN-15
	t.Parallel()
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			f.change(host("a/b"), host("gone"), host("other"))
			f.change(account(t, "ann", "a/b", "^ann", ".*", ".*", "monitoring", "painter")...)
			f.change(account(t, "bob", "gone", ".*", ".*", ".*")...)
			f.change(
				access.SetTopicPermission{Permission: access.TopicPermission{User: "ann", VHost: "a/b", Exchange: "amq.topic", Write: "^{username}", Read: ".*"}},
				access.SetUserLimits{User: "ann", Limits: access.Limits{access.MaxChannels: 3}},
				access.SetVHostLimits{VHost: "a/b", Limits: access.Limits{access.MaxQueues: 2}},
			)
			ann := f.clientOf(f.user("ann", "ann"), "a/b")
			ann.durable("ann.q")
			ann.send("ann.q", "kept")
			doomed := f.clientOf(f.user("bob", "bob"), "gone")
			doomed.durable("")
			f.change(access.DeleteVHost{Name: "gone"}, access.DeleteUser{Name: "bob"})
			before := tell(f.broker.Access())
			end.end(f)
			want(t, "access", tell(f.broker.Access()), before)
			c := f.clientOf(f.user("ann", "ann"), "a/b")
			want(t, "messages", c.ready("ann.q"), 1)
			_, err := f.broker.Connect(f.user("guest", "guest"), "gone", newSink(f.broker))
			wantError(t, err, amqp.NotAllowed, amqp.ConnectionOpenID, "vhost gone not found")
		})
	}
}

func TestCrashBetweenChangesOfAccess(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, c := range append([]access.Change{host("v")}, append(account(t, "ann", "v", "a", "b", "c"),
		access.ClearPermission{User: "ann", VHost: "v"}, access.DeleteVHost{Name: "v"}, host("v"), access.DeleteUser{Name: "guest"})...) {
		f.change(c)
		before := tell(f.broker.Access())
		f.crash()
		want(t, "access after "+c.Op(), tell(f.broker.Access()), before)
	}
}

func TestLogWithoutItsBeginningKnowsWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	f.change(host("v"))
	f.change(account(t, "ann", "v", ".*", ".*", ".*")...)
	before := tell(f.broker.Access())
	c := f.client()
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	f.recycle(c, "q", 100)
	f.crash(loseIndex)
	want(t, "access", tell(f.broker.Access()), before)
	f.clientOf(f.user("ann", "ann"), "v")
}

func TestChangeOfAccessIsInTheNextCheckpoint(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.checkpoint()
	f.change(account(t, "ann", "/", "", "", "")...) // no other change of topology
	f.checkpoint()
	before := tell(f.broker.Access())
	f.crash()
	if r := f.broker.Recovery(); r.Replayed > 5 {
		t.Errorf("%d records replayed", r.Replayed)
	}
	want(t, "access", tell(f.broker.Access()), before)
}

func TestChangesOfAccessAreAllOrNone(t *testing.T) {
	t.Parallel()
	f := open(t)
	before := tell(f.broker.Access())
	for _, test := range []struct {
		name    string
		changes []access.Change
		is      error
	}{
		{"no such user", append(account(t, "ann", "/", "", "", ""), access.DeleteUser{Name: "bob"}), access.ErrNoUser},
		{"no such virtual host", []access.Change{host("v"), access.DeleteVHost{Name: "v"}, access.SetVHostLimits{VHost: "v"}}, access.ErrNoVHost},
		{"bad pattern", append(account(t, "ann", "/", "", "", ""), account(t, "bob", "/", "(", "", "")...), nil},
		{"bad queue type", []access.Change{access.PutVHost{VHost: access.VHost{Name: "v", DefaultQueueType: "tree"}}}, nil},
	} {
		err := f.broker.ChangeAccess(test.changes...)
		if err == nil || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: error %v", test.name, err)
		}
		want(t, test.name, tell(f.broker.Access()), before)
	}
}

func TestFirstStart(t *testing.T) { // AUTH-06
	t.Parallel()
	first := access.DefaultFirstStart()
	first.User, first.Password, first.VHost = "ann", "päss wörd", access.VHost{Name: "home"}
	f := openWith(t, broker.Config{FirstStart: first, LoopbackUsers: []string{}})
	f.clientOf(f.user("ann", "päss wörd"), "home")
	if _, err := f.broker.Authenticate(access.Credentials{Name: "guest", Password: "guest"}, true); !errors.Is(err, access.ErrNoUser) {
		t.Errorf("guest: %v", err)
	}
	f.cfg.FirstStart.User = "bob" // counts for folders without users only
	f.restart()
	f.user("ann", "päss wörd")
	if _, ok := f.broker.Access().User("bob"); ok {
		t.Error("bob came with a folder that had users")
	}
}

func TestFolderFromBeforeThereWereUsersGetsOne(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{NoFirstStart: true})
	want(t, "access", tell(f.broker.Access()), "")
	f.change(access.PutVHost{VHost: access.VHost{Name: "/", Description: "as it was"}})
	f.cfg.NoFirstStart = false
	f.crash()
	if vh, _ := f.broker.Access().VHost("/"); vh.Description != "as it was" {
		t.Errorf("virtual host %+v", vh)
	}
	f.client()
}

func TestVirtualHostsAreWorldsOfTheirOwn(t *testing.T) { // CONN-15
	t.Parallel()
	f := open(t)
	f.change(host("v"), access.SetPermission{Permission: access.Permission{User: "guest", VHost: "v", Configure: ".*", Write: ".*", Read: ".*"}})
	here, there := f.client(), f.clientOf(f.user("guest", "guest"), "v")
	here.durable("q")
	there.durable("q")
	here.send("q", "here")
	there.send("q", "there", "too")
	want(t, "messages here", here.ready("q"), 1)
	want(t, "messages there", there.ready("q"), 2)
	if err := there.DeclareExchange(broker.ExchangeDeclaration{Name: "amq.topic", Passive: true}); err != nil {
		t.Error(err) // predeclared in each
	}
	before, _ := f.broker.Access().VHost("v")
	f.change(access.PutVHost{VHost: access.VHost{Name: "v", Description: "described"}}) // no other host
	after, _ := f.broker.Access().VHost("v")
	want(t, "number", after.ID, before.ID)
	want(t, "messages there", there.ready("q"), 2)
}

func TestNothingHappensInADeletedVirtualHost(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.change(host("v"), access.SetPermission{Permission: access.Permission{User: "guest", VHost: "v", Configure: ".*", Write: ".*", Read: ".*"}})
	c := f.clientOf(f.user("guest", "guest"), "v")
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c"})
	c.stage(c.ch, "", "q", persistent, "on its way")
	f.change(access.DeleteVHost{Name: "v"})
	c.flush()
	want(t, "deliveries", len(c.sink.take()), 0)
	f.change(host("v"), access.SetPermission{Permission: access.Permission{User: "guest", VHost: "v", Configure: ".*", Write: ".*", Read: ".*"}})
	_, err := c.DeclareQueue(broker.QueueDeclaration{Name: "late", Durable: true})
	wantError(t, err, amqp.ConnectionForced, 0, "vhost 'v' is deleted")
	again := f.clientOf(f.user("guest", "guest"), "v")
	if again.exists("q") || again.exists("late") {
		t.Error("the new host has queues of the old one")
	}
	f.crash(loseIndex)
	again = f.clientOf(f.user("guest", "guest"), "v")
	if again.exists("q") || again.exists("late") {
		t.Error("the new host has queues of the old one after a restart")
	}
}
