package access_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

func TestConnectionsAreCheckedInOrder(t *testing.T) { // CONN-13, LIM-01, LIM-02
	control := build(t, vhost("/"), vhost("lim"), vhost("shut"), user("guest"), user("u1"), user("none"), user("free"),
		permit("guest", "/", "", "", ""), permit("guest", "lim", "", "", ""), permit("u1", "/", "", "", ""), permit("u1", "lim", "", "", ""),
		permit("free", "/", "", "", ""),
		access.SetVHostLimits{VHost: "lim", Limits: access.Limits{access.MaxConnections: 2}},
		access.SetVHostLimits{VHost: "shut", Limits: access.Limits{access.MaxConnections: 0}},
		access.SetVHostLimits{VHost: "/", Limits: access.Limits{access.MaxConnections: -1, access.MaxQueues: 0}},
		access.SetUserLimits{User: "u1", Limits: access.Limits{access.MaxConnections: 3}},
		access.SetUserLimits{User: "none", Limits: access.Limits{access.MaxConnections: 0}},
		access.SetUserLimits{User: "free", Limits: access.Limits{access.MaxConnections: -1, access.MaxChannels: 0}})
	many := access.Connections{OnNode: 99, InVHost: 99, OfUser: 99}
	all := access.Connections{OnNode: 9, InVHost: 2, OfUser: 3, VHostDown: true}
	tests := []struct {
		name        string
		user, vhost string
		open        access.Connections
		node        int
		code        amqp.ReplyCode
		want        string
	}{
		{"welcome", "guest", "/", access.Connections{}, 0, 0, ""},
		{"no limits, or negative ones", "guest", "/", many, 0, 0, ""},
		{"negative limit of a user", "free", "/", many, 0, 0, ""},
		{"one below the limits", "u1", "lim", access.Connections{OnNode: 8, InVHost: 1, OfUser: 2}, 9, 0, ""},
		{"node first", "u1", "nope", all, 9, 530, "connection refused: node connection limit (9) is reached"},
		{"then existence", "u1", "nope", all, 10, 530, "vhost nope not found"},
		{"then the host", "u1", "lim", all, 10, 530, "access to vhost 'lim' refused for user 'u1': connection limit (2) is reached"},
		{"0 is none at all", "guest", "shut", access.Connections{}, 0, 530, "access to vhost 'shut' refused for user 'guest': connection limit (0) is reached"},
		{"then the user", "u1", "lim", access.Connections{InVHost: 1, OfUser: 3, VHostDown: true}, 0, 530, "connection refused for user 'u1': user connection limit (3) is reached"},
		{"the user, whoever he is", "none", "/", access.Connections{}, 0, 530, "connection refused for user 'none': user connection limit (0) is reached"},
		{"then permission", "free", "lim", access.Connections{VHostDown: true}, 0, 530, "access to vhost 'lim' refused for user 'free'"},
		{"a user who is gone", "sue", "/", access.Connections{}, 0, 530, "access to vhost '/' refused for user 'sue'"},
		{"then health", "guest", "/", access.Connections{VHostDown: true}, 0, 541, "access to vhost '/' refused for user 'guest': vhost '/' is down"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := control.State().CheckConnection(
				access.Subject{User: test.user, VHost: test.vhost}, test.open, access.NodeLimits{Connections: test.node})
			wantRefusal(t, err, test.code, amqp.ConnectionOpenID, test.want)
		})
	}
}

func TestOtherLimits(t *testing.T) { // CHAN-06, QUEUE-17, CONS-09, EXCH-12, LIM-01 to LIM-03
	state := build(t, vhost("v2"), user("u"),
		access.SetVHostLimits{VHost: "v2", Limits: access.Limits{access.MaxQueues: 1}},
		access.SetUserLimits{User: "u", Limits: access.Limits{access.MaxChannels: 5}}).State()
	node := access.NodeLimits{Channels: 7, ConsumersPerChannel: 3, Queues: 4, Exchanges: 2}
	var none access.NodeLimits

	wantRefusal(t, state.CheckChannel("u", 4), 0, 0, "")
	wantRefusal(t, state.CheckChannel("u", 5), 530, 0, "number of channels opened for user 'u' has reached the maximum allowed user limit of 5")
	wantRefusal(t, state.CheckChannel("gone", 5), 0, 0, "")
	wantRefusal(t, node.CheckChannel("n", 6), 0, 0, "")
	wantRefusal(t, node.CheckChannel("n", 7), 530, 0, "number of channels opened on node 'n' has reached the maximum allowed limit of 7")
	wantRefusal(t, none.CheckChannel("n", 7), 0, 0, "")

	wantRefusal(t, state.CheckQueue("v2", "l1", 0), 0, 0, "")
	wantRefusal(t, state.CheckQueue("v2", "l2", 1), 406, amqp.QueueDeclareID, "cannot declare queue 'l2': queue limit in vhost 'v2' (1) is reached")
	wantRefusal(t, state.CheckQueue("gone", "l2", 1), 0, 0, "")
	wantRefusal(t, node.CheckQueue("q", 4), 406, amqp.QueueDeclareID, "cannot declare queue 'q': queue limit in cluster (4) is reached")
	wantRefusal(t, none.CheckQueue("q", 4), 0, 0, "")

	wantRefusal(t, node.CheckConsumer(2), 0, 0, "")
	wantRefusal(t, node.CheckConsumer(3), 530, amqp.BasicConsumeID, "reached maximum (3) of consumers per channel")
	wantRefusal(t, node.CheckExchange("/", "e", 1), 0, 0, "")
	wantRefusal(t, node.CheckExchange("/", "e", 2), 406, amqp.ExchangeDeclareID, "cannot declare exchange 'e' in vhost '/': exchange limit of 2 is reached")
}

func TestUnknownLimitsAreRefused(t *testing.T) { // chapter 3.9 of the HTTP API
	control := build(t, vhost("/"), user("u"))
	for _, c := range []access.Change{
		access.SetVHostLimits{VHost: "/", Limits: access.Limits{"foo": 1}},
		access.SetUserLimits{User: "u", Limits: access.Limits{"foo": 1, access.MaxChannels: 1}},
	} {
		err := valid(control.State(), c)
		if want := c.Op() + `: Unrecognised terms [{<<"foo">>,1}] in limits`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := valid(control.State(), access.SetUserLimits{User: "u", Limits: access.Limits{access.MaxQueues: 1}}); err == nil {
		t.Error("users have no limit of queues")
	}
}
