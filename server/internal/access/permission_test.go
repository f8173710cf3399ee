package access_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

func TestPermissions(t *testing.T) { // AUTH-01, chapter 24
	control := build(t, vhost("/"), vhost("other"), user("ann"), user("bob"), user("eve"),
		permit("ann", "/", "^ann-", "^(ann-.*|amq\\.default)$", ".*"),
		permit("bob", "/", "", "log", ""),
		permit("eve", "other", ".*", ".*", ".*"))
	tests := []struct {
		user      string
		operation access.Operation
		resource  access.Resource
		want      string
	}{
		{"ann", access.Configure, access.Queue("ann-1"), ""},
		{"ann", access.Configure, access.Queue("bob-1"), "configure access to queue 'bob-1' in vhost '/' refused for user 'ann'"},
		{"ann", access.Configure, access.Exchange("e"), "configure access to exchange 'e' in vhost '/' refused for user 'ann'"},
		{"ann", access.Write, access.Exchange("ann-x"), ""},
		{"ann", access.Write, access.Exchange("xann-x"), "write access to exchange 'xann-x' in vhost '/' refused for user 'ann'"},
		{"ann", access.Write, access.Exchange(""), ""}, // the default exchange has a name here
		{"ann", access.Read, access.Queue("any"), ""},
		{"ann", access.Read, access.Queue(""), ""},
		{"bob", access.Write, access.Exchange("my-log-1"), ""}, // unanchored
		{"bob", access.Write, access.Exchange(""), "write access to exchange 'amq.default' in vhost '/' refused for user 'bob'"},
		{"bob", access.Read, access.Queue("log"), "read access to queue 'log' in vhost '/' refused for user 'bob'"},
		{"bob", access.Read, access.Queue(""), ""}, // an empty pattern is ^$
		{"bob", access.Read, access.Exchange(""), "read access to exchange 'amq.default' in vhost '/' refused for user 'bob'"},
		{"eve", access.Read, access.Queue("q"), "read access to queue 'q' in vhost '/' refused for user 'eve'"}, // no entry
		{"sue", access.Read, access.Queue("q"), "read access to queue 'q' in vhost '/' refused for user 'sue'"}, // no such user
	}
	for _, test := range tests {
		who := access.Subject{User: test.user, VHost: "/"}
		wantRefusal(t, control.State().Check(who, test.operation, test.resource, method), amqp.AccessRefused, method, test.want)
		cache := access.NewCache(control, who)
		for range 2 { // asked, and remembered
			wantRefusal(t, cache.Check(test.operation, test.resource, method), amqp.AccessRefused, method, test.want)
		}
	}
}

func TestAnyPermissionWillDoToLookAtAResource(t *testing.T) { // chapter 24, passive declarations
	control := build(t, vhost("/"), user("ann"), permit("ann", "/", "^c$", "^w$", "^r$"))
	for name, want := range map[string]string{
		"c": "", "w": "", "r": "", "x": "access to queue 'x' in vhost '/' refused for user 'ann'",
	} {
		who := access.Subject{User: "ann", VHost: "/"}
		wantRefusal(t, control.State().CheckAny(who, access.Queue(name), method), amqp.AccessRefused, method, want)
		wantRefusal(t, access.NewCache(control, who).CheckAny(access.Queue(name), method), amqp.AccessRefused, method, want)
	}
}

func TestTopicPermissions(t *testing.T) { // AUTH-03
	control := build(t, vhost("/"), vhost("a+b"), user("p"), user("a.b"), user("open"), user("odd"),
		permitTopic("odd", "/", "pt", "^[{client_id}]$", ""),
		permitTopic("p", "/", "pt", "^a\\.", ""),
		permitTopic("a.b", "/", "pt", "^{username}-{vhost}-{username}$", "^{client_id}\\."),
		permitTopic("a.b", "a+b", "pt", "^{vhost}$", ".*"))
	tests := []struct {
		who           access.Subject
		operation     access.Operation
		exchange, key string
		want          string
	}{
		{access.Subject{User: "p", VHost: "/"}, access.Write, "pt", "a.b", ""},
		{
			access.Subject{User: "p", VHost: "/"},
			access.Write, "pt", "b.c",
			"write access to topic 'b.c' in exchange 'pt' in vhost '/' refused for user 'p'",
		},
		{
			access.Subject{User: "p", VHost: "/"},
			access.Read, "pt", "a.b",
			"read access to topic 'a.b' in exchange 'pt' in vhost '/' refused for user 'p'",
		},
		{access.Subject{User: "p", VHost: "/"}, access.Read, "pt", "", ""}, // an empty pattern is ^$
		{access.Subject{User: "p", VHost: "/"}, access.Write, "amq.topic", "b.c", ""},
		{access.Subject{User: "open", VHost: "/"}, access.Write, "pt", "b.c", ""},
		{access.Subject{User: "nobody", VHost: "/"}, access.Write, "pt", "b.c", ""}, // permissions have shut him out
		{access.Subject{User: "a.b", VHost: "/"}, access.Write, "pt", "a.b-/-a.b", ""},
		{
			access.Subject{User: "a.b", VHost: "/"}, access.Write, "pt", "aXb-/-aXb", // names are not patterns
			"write access to topic 'aXb-/-aXb' in exchange 'pt' in vhost '/' refused for user 'a.b'",
		},
		{access.Subject{User: "a.b", VHost: "a+b"}, access.Write, "pt", "a+b", ""},
		{
			access.Subject{User: "a.b", VHost: "a+b"},
			access.Write, "pt", "aab",
			"write access to topic 'aab' in exchange 'pt' in vhost 'a+b' refused for user 'a.b'",
		},
		{access.Subject{User: "a.b", VHost: "/", ClientID: "c(1"}, access.Read, "pt", "c(1.x", ""},
		{
			access.Subject{User: "a.b", VHost: "/", ClientID: "c(2"},
			access.Read, "pt", "c(1.x",
			"read access to topic 'c(1.x' in exchange 'pt' in vhost '/' refused for user 'a.b'",
		},
		{
			access.Subject{User: "a.b", VHost: "/"}, access.Read, "pt", "c(1.x", // no client id, no match
			"read access to topic 'c(1.x' in exchange 'pt' in vhost '/' refused for user 'a.b'",
		},
		{access.Subject{User: "odd", VHost: "/", ClientID: "ab"}, access.Write, "pt", "b", ""},
		{
			access.Subject{User: "odd", VHost: "/", ClientID: "z-a"}, access.Write, "pt", "z", // [z-a] is no class
			"write access to topic 'z' in exchange 'pt' in vhost '/' refused for user 'odd'",
		},
	}
	for _, test := range tests {
		err := control.State().CheckTopic(test.who, test.operation, test.exchange, test.key, method)
		wantRefusal(t, err, amqp.AccessRefused, method, test.want)
		cache := access.NewCache(control, test.who)
		for range 2 {
			err := cache.CheckTopic(test.operation, test.exchange, test.key, method)
			wantRefusal(t, err, amqp.AccessRefused, method, test.want)
		}
		if test.want != "" && !cache.RestrictsTopics(test.exchange) {
			t.Errorf("exchange %s is said to be open to %s", test.exchange, test.who.User)
		}
	}
}
