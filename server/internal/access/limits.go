package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Limit names something of which a user or a virtual host may have so many at a time.
type Limit string

// The limits: of virtual hosts the first two (LIM-01), of users the first and the last (LIM-02).
const (
	MaxConnections Limit = "max-connections"
	MaxQueues      Limit = "max-queues"
	MaxChannels    Limit = "max-channels"
)

// Limits says how many there may be: a negative number is no limit, as is a missing one; 0 is none at all.
type Limits map[Limit]int64

// Reached reports whether there is a limit, and so many are there that one more would exceed it.
func (l Limits) Reached(name Limit, have int) (limit int64, reached bool) {
	limit, ok := l[name]
	return limit, ok && limit >= 0 && int64(have) >= limit
}

// check refuses limits that are not among the known ones, in RabbitMQ's words.
func (l Limits) check(known ...Limit) error {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("{<<%q>>,%d}", name, l[name]))
		}
	}
	if len(unknown) > 0 {
		//lint:ignore ST1005 it is what RabbitMQ's HTTP API says
		return fmt.Errorf("Unrecognised terms [%s] in limits", strings.Join(unknown, ","))
	}
	return nil
}

// NodeLimits are limits of the whole broker (LIM-03). Zero is no limit.
type NodeLimits struct {
	Connections         int
	Channels            int
	ConsumersPerChannel int
	Queues              int
	Exchanges           int
}

// Connections tells what is open while another connection comes in: without that one.
type Connections struct {
	OnNode, InVHost, OfUser int
	// VHostDown says that the virtual host exists but does not work.
	VHostDown bool
}

// CheckConnection refuses a connection.open (CONN-13). Errors are *amqp.Error.
func (s *State) CheckConnection(who Subject, open Connections, node NodeLimits) error {
	if node.Connections > 0 && open.OnNode >= node.Connections {
		return notOpened("connection refused: node connection limit (%d) is reached", node.Connections)
	}
	vhost, ok := s.vhosts[who.VHost]
	if !ok {
		return notOpened("vhost %s not found", who.VHost)
	}
	if limit, reached := vhost.limits.Reached(MaxConnections, open.InVHost); reached {
		return notOpened("access to vhost '%s' refused for user '%s': connection limit (%d) is reached", who.VHost, who.User, limit)
	}
	if user, ok := s.users[who.User]; ok {
		if limit, reached := user.limits.Reached(MaxConnections, open.OfUser); reached {
			return notOpened("connection refused for user '%s': user connection limit (%d) is reached", who.User, limit)
		}
	}
	if !s.MayEnter(who.User, who.VHost) {
		return notOpened("access to vhost '%s' refused for user '%s'", who.VHost, who.User)
	}
	if open.VHostDown {
		return amqp.Errorf(amqp.InternalError, amqp.ConnectionOpenID,
			"access to vhost '%s' refused for user '%s': vhost '%s' is down", who.VHost, who.User, who.VHost)
	}
	return nil
}

func notOpened(format string, args ...any) error {
	return amqp.Errorf(amqp.NotAllowed, amqp.ConnectionOpenID, format, args...)
}

// CheckChannel refuses a channel to a user who has so many open on all of his connections (CHAN-06).
// Errors are *amqp.Error.
func (s *State) CheckChannel(user string, open int) error {
	a, ok := s.users[user]
	if !ok {
		return nil
	}
	if limit, reached := a.limits.Reached(MaxChannels, open); reached {
		return amqp.Errorf(amqp.NotAllowed, 0,
			"number of channels opened for user '%s' has reached the maximum allowed user limit of %d", user, limit)
	}
	return nil
}

// CheckQueue refuses to declare a new queue in a virtual host that has so many (QUEUE-17). Errors are
// *amqp.Error.
func (s *State) CheckQueue(vhost, queue string, declared int) error {
	d, ok := s.vhosts[vhost]
	if !ok {
		return nil
	}
	if limit, reached := d.limits.Reached(MaxQueues, declared); reached {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.QueueDeclareID,
			"cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", queue, vhost, limit)
	}
	return nil
}

// CheckChannel refuses a channel to anybody if the node, which has that name, has so many open (CHAN-06).
// Errors are *amqp.Error.
func (n NodeLimits) CheckChannel(node string, open int) error {
	if n.Channels > 0 && open >= n.Channels {
		return amqp.Errorf(amqp.NotAllowed, 0,
			"number of channels opened on node '%s' has reached the maximum allowed limit of %d", node, n.Channels)
	}
	return nil
}

// CheckConsumer refuses a consumer on a channel that has so many (CONS-09). Errors are *amqp.Error.
func (n NodeLimits) CheckConsumer(onChannel int) error {
	if n.ConsumersPerChannel > 0 && onChannel >= n.ConsumersPerChannel {
		return amqp.Errorf(amqp.NotAllowed, amqp.BasicConsumeID,
			"reached maximum (%d) of consumers per channel", n.ConsumersPerChannel)
	}
	return nil
}

// CheckQueue refuses to declare a new queue if all virtual hosts together have so many (QUEUE-17). Errors
// are *amqp.Error.
func (n NodeLimits) CheckQueue(queue string, declared int) error {
	if n.Queues > 0 && declared >= n.Queues {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.QueueDeclareID,
			"cannot declare queue '%s': queue limit in cluster (%d) is reached", queue, n.Queues)
	}
	return nil
}

// CheckExchange refuses to declare a new exchange if all virtual hosts together have so many (EXCH-12).
// Errors are *amqp.Error.
func (n NodeLimits) CheckExchange(vhost, exchange string, declared int) error {
	if n.Exchanges > 0 && declared >= n.Exchanges {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.ExchangeDeclareID,
			"cannot declare exchange '%s' in vhost '%s': exchange limit of %d is reached", exchange, vhost, n.Exchanges)
	}
	return nil
}
