package session_test

import (
	"crypto/rand"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// change changes access.
func (s *server) change(changes ...access.Change) {
	s.t.Helper()
	if s.external != "" {
		s.t.Skip("needs a broker within the test")
	}
	if err := s.broker.ChangeAccess(changes...); err != nil {
		s.t.Fatal(err)
	}
}

// account makes a user whose password is his name.
func (s *server) account(name string) {
	s.t.Helper()
	hash, err := access.HashPassword(rand.Reader, access.SHA256, name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(access.PutUser{User: access.User{Name: name, PasswordHash: hash, Hashing: access.SHA256}})
}

// permit says what a user may do in /.
func (s *server) permit(name, configure, write, read string) {
	s.t.Helper()
	s.change(access.SetPermission{Permission: access.Permission{
		User: name, VHost: "/", Configure: configure, Write: write, Read: read,
	}})
}

// logIn does all up to connection.open, whose answer is left. The transcript begins there.
func (p *peer) logIn(name, vhost string) {
	p.t.Helper()
	p.header()
	p.send(0, plain(name, name))
	p.expect(0, &amqp.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
	p.script.Reset()
	p.send(0, &amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072}, &amqp.ConnectionOpen{VirtualHost: vhost})
}

// openAs is open for a user of /.
func openAs(p *peer, name string) {
	p.logIn(name, "/")
	p.expect(0, &amqp.ConnectionOpenOk{})
	p.openChannel(1)
	p.script.Reset()
}

var accessTranscripts = []transcript{
	{"vhost-missing", "The virtual host does not exist.", func(_ *server, p *peer) {
		p.logIn("guest", "nope")
		p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionOpenID, "*"})
	}},
	{"vhost-refused", "The user has no permission in the virtual host.", func(s *server, p *peer) {
		s.account("ann")
		p.logIn("ann", "/")
		p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionOpenID, "*"})
	}},
	{"vhost-limit", "The virtual host takes one connection and has it.", func(s *server, p *peer) {
		s.change(access.SetVHostLimits{VHost: "/", Limits: access.Limits{access.MaxConnections: 1}})
		s.connect(p.t)
		p.logIn("guest", "/")
		p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionOpenID, "*"})
	}},
	{"permission-refused", "A user tries what he may not, on names that do not exist.", func(s *server, p *peer) {
		s.account("ann")
		s.permit("ann", "^ann", "^(ann|amq\\.topic)", "^ann")
		s.change(access.SetTopicPermission{Permission: access.TopicPermission{User: "ann", VHost: "/", Exchange: "amq.topic", Write: "^{username}\\."}})
		openAs(p, "ann")
		refused := func(method amqp.MethodID, methods ...amqp.Method) {
			p.send(1, methods...)
			p.expectChannelClose(1, closed{amqp.AccessRefused, method, "*"})
			p.openChannel(1)
		}
		refused(amqp.QueueDeclareID, &amqp.QueueDeclare{Queue: "bob"})
		refused(amqp.QueueDeclareID, &amqp.QueueDeclare{Queue: "ann", Arguments: amqp.Table{"x-dead-letter-exchange": "bob"}})
		refused(amqp.QueueDeclareID, &amqp.QueueDeclare{Queue: "bob", Passive: true})
		refused(amqp.QueueBindID, &amqp.QueueBind{Queue: "ann", Exchange: "bob"})
		refused(amqp.BasicConsumeID, &amqp.BasicConsume{Queue: "bob"})
		refused(amqp.ExchangeDeleteID, &amqp.ExchangeDelete{Exchange: "bob"})
		p.publish(1, "", "ann", "no")
		p.expectChannelClose(1, closed{amqp.AccessRefused, amqp.BasicPublishID, "*"})
		p.openChannel(1)
		p.publish(1, "amq.topic", "ann.x", "yes")
		p.publish(1, "amq.topic", "bob.x", "no")
		p.expectChannelClose(1, closed{amqp.AccessRefused, amqp.BasicPublishID, "*"})
	}},
	{"user-deleted", "A user is deleted while he is connected.", func(s *server, p *peer) {
		s.account("ann")
		s.permit("ann", "", "", "")
		openAs(p, "ann")
		s.change(access.DeleteUser{Name: "ann"})
		p.expectConnectionClose(closed{amqp.ConnectionForced, 0, "*"})
	}},
	{"vhost-deleted", "A virtual host is deleted while somebody consumes there.", func(s *server, p *peer) {
		s.change(access.PutVHost{VHost: access.VHost{Name: "doomed"}},
			access.SetPermission{Permission: access.Permission{User: "guest", VHost: "doomed", Configure: ".*", Write: ".*", Read: ".*"}})
		p.logIn("guest", "doomed")
		p.expect(0, &amqp.ConnectionOpenOk{})
		p.openChannel(1)
		p.send(1, &amqp.QueueDeclare{Queue: "q"}, &amqp.BasicConsume{ConsumerTag: "c"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "q"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
		s.change(access.DeleteVHost{Name: "doomed"})
		p.expectConnectionClose(closed{amqp.ConnectionForced, 0, "*"})
	}},
	{"update-secret", "A new secret is not looked at, but what the user may do now is.", func(s *server, p *peer) {
		s.account("ann")
		s.permit("ann", ".*", ".*", ".*")
		openAs(p, "ann")
		p.send(1, &amqp.QueueDeclare{Queue: "kept", Exclusive: true}, &amqp.BasicConsume{ConsumerTag: "one"},
			&amqp.QueueDeclare{Queue: "lost", Exclusive: true}, &amqp.BasicConsume{ConsumerTag: "two"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "kept"}, &amqp.BasicConsumeOk{ConsumerTag: "one"},
			&amqp.QueueDeclareOk{Queue: "lost"}, &amqp.BasicConsumeOk{ConsumerTag: "two"})
		s.permit("ann", "", "", "kept")
		p.send(0, &amqp.ConnectionUpdateSecret{NewSecret: "whatever", Reason: "time"})
		p.expect(0, &amqp.ConnectionUpdateSecretOk{})
		p.expect(1, &amqp.BasicCancel{ConsumerTag: "two", NoWait: true})
		s.change(access.ClearPermission{User: "ann", VHost: "/"})
		p.send(0, &amqp.ConnectionUpdateSecret{NewSecret: "whatever", Reason: "time"})
		p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionUpdateSecretID, "*"})
	}},
}

func TestAnsweredCloseMakesRoomAtOnce(t *testing.T) { // LIM-02
	s := newOwnServer(t)
	s.change(access.SetUserLimits{User: "guest", Limits: access.Limits{access.MaxConnections: 1, access.MaxChannels: 1}})
	for range 20 { // a client that comes again right behind its close-ok
		p := s.connect(t)
		p.send(1, &amqp.ChannelClose{})
		p.expect(1, &amqp.ChannelCloseOk{})
		p.openChannel(2)
		p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})
		p.expect(0, &amqp.ConnectionCloseOk{})
	}
}
