package broker

import (
	"slices"
	"sync"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// User is who a connection speaks for.
type User struct {
	Name string
	// Peer is the address that it connects from, Connection the name that the client gave its connection; for the
	// log, and empty where they are not known.
	Peer, Connection string
}

// Authenticate finds the user whom credentials prove (CONN-06). loopback says that they come from this
// machine. The error is for the log.
func (b *Broker) Authenticate(with access.Credentials, loopback bool) (*User, error) {
	user, err := b.access.Authenticate(with, loopback)
	if err != nil {
		return nil, err
	}
	return &User{Name: user.Name}, nil
}

// presence counts who is connected. Its lock is a leaf, but for that of a virtual host's clients.
type presence struct {
	sync.Mutex
	clients  map[*Client]struct{}
	inVHost  map[*VHost]int
	users    map[string]*userPresence
	channels int
}

// userPresence counts what one user has open.
type userPresence struct{ connections, channels int }

func (p *presence) init() {
	p.clients = make(map[*Client]struct{})
	p.inVHost = make(map[*VHost]int)
	p.users = make(map[string]*userPresence)
}

// Connect connects a sink to a virtual host if the user may and no limit is reached (CONN-13). Errors are
// *amqp.Error.
func (b *Broker) Connect(user *User, vhost string, sink Sink) (*Client, error) {
	p := &b.presence
	p.Lock()
	defer p.Unlock()
	// A change that comes now waits for the lock and finds the client.
	vh, state := b.VHost(vhost), b.access.State()
	open := access.Connections{OnNode: len(p.clients), InVHost: p.inVHost[vh]}
	if u := p.users[user.Name]; u != nil {
		open.OfUser = u.connections
	}
	if err := state.CheckConnection(access.Subject{User: user.Name, VHost: vhost}, open, b.cfg.Limits); err != nil {
		return nil, err
	}
	if vh == nil {
		return nil, amqp.Errorf(amqp.NotAllowed, amqp.ConnectionOpenID, "vhost %s not found", vhost) // just deleted
	}
	c := newClient(vh, user, sink)
	p.clients[c] = struct{}{}
	p.inVHost[vh]++
	if p.users[user.Name] == nil {
		p.users[user.Name] = &userPresence{}
	}
	p.users[user.Name].connections++
	return c, nil
}

// leave forgets a client; doing so twice is harmless.
func (p *presence) leave(c *Client) {
	p.Lock()
	defer p.Unlock()
	if _, ok := p.clients[c]; !ok {
		return
	}
	delete(p.clients, c)
	if p.inVHost[c.vhost]--; p.inVHost[c.vhost] == 0 {
		delete(p.inVHost, c.vhost)
	}
	u := p.users[c.user.Name]
	if u.connections--; *u == (userPresence{}) {
		delete(p.users, c.user.Name)
	}
}

// enterChannel counts a channel of a client that is here, unless a limit is reached (CHAN-06).
func (b *Broker) enterChannel(c *Client) error {
	p := &b.presence
	p.Lock()
	defer p.Unlock()
	u := p.users[c.user.Name]
	if u == nil {
		return errStopped // the connection is closing
	}
	if err := b.access.State().CheckChannel(c.user.Name, u.channels); err != nil {
		return err
	}
	if err := b.cfg.Limits.CheckChannel(nodeName, p.channels); err != nil {
		return err
	}
	u.channels++
	p.channels++
	return nil
}

func (p *presence) leaveChannel(c *Client) {
	p.Lock()
	defer p.Unlock()
	p.channels--
	u := p.users[c.user.Name]
	if u.channels--; *u == (userPresence{}) {
		delete(p.users, c.user.Name)
	}
}

// nodeName stands for this broker in texts that name a node of a cluster.
const nodeName = "millrace"

// closeDoomed asks the connections to end whose virtual host or user has been deleted (chapter 4.5).
func (b *Broker) closeDoomed(changes []access.Change, hosts []*VHost) {
	users := make(map[string]bool)
	for _, c := range changes {
		if c, ok := c.(access.DeleteUser); ok {
			users[c.Name] = true
		}
	}
	if len(users) == 0 && len(hosts) == 0 {
		return
	}
	b.presence.Lock()
	defer b.presence.Unlock()
	for c := range b.presence.clients {
		switch {
		case slices.Contains(hosts, c.vhost):
			c.sink.CloseConnection(c.vhost.deletedError())
		case users[c.user.Name]:
			c.sink.CloseConnection(amqp.Errorf(amqp.ConnectionForced, 0, "user '%s' is deleted", c.user.Name))
		}
	}
}
