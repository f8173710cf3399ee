package access

import (
	"errors"
	"fmt"
	"maps"

	"github.com/millrace-mq/millrace/server/amqp"
)

// What a change is about may not exist.
var (
	ErrNoUser  = errors.New("no such user")
	ErrNoVHost = errors.New("no such virtual host")
)

// Change is one step from a state to another: PutVHost, DeleteVHost, SetVHostLimits, PutUser, DeleteUser,
// SetUserLimits, SetPermission, ClearPermission, SetTopicPermission, ClearTopicPermission or
// ClearTopicPermissions.
type Change interface {
	// Op is the operation's name in the log.
	Op() string

	// validate finds out whether the change is about something that exists.
	validate(s *State) error
	// apply makes the change; an error means that it is malformed, and the draft is then thrown away.
	apply(d *draft) error
	encode(t amqp.Table)
}

// PutVHost creates a virtual host, or replaces its description. Limits and permissions stay.
type PutVHost struct{ VHost VHost }

// DeleteVHost deletes a virtual host and all permissions in it.
type DeleteVHost struct{ Name string }

// SetVHostLimits replaces the limits of a virtual host; without any, it has none.
type SetVHostLimits struct {
	VHost  string
	Limits Limits
}

// PutUser creates a user, or replaces password and tags. Limits and permissions stay.
type PutUser struct{ User User }

// DeleteUser deletes a user and everything that he was permitted.
type DeleteUser struct{ Name string }

// SetUserLimits replaces the limits of a user; without any, he has none.
type SetUserLimits struct {
	User   string
	Limits Limits
}

// SetPermission permits a user to use a virtual host, or replaces what he is permitted there.
type SetPermission struct{ Permission Permission }

// ClearPermission shuts a user out of a virtual host.
type ClearPermission struct{ User, VHost string }

// SetTopicPermission restricts the topics of a user in an exchange.
type SetTopicPermission struct{ Permission TopicPermission }

// ClearTopicPermission ends the restriction of a user's topics in one exchange.
type ClearTopicPermission struct{ User, VHost, Exchange string }

// ClearTopicPermissions ends all restrictions of a user's topics in a virtual host.
type ClearTopicPermissions struct{ User, VHost string }

func (c PutVHost) validate(*State) error      { return nil }
func (c DeleteVHost) validate(s *State) error { return s.requireVHost(c.Name) }

func (c SetVHostLimits) validate(s *State) error { return s.requireVHost(c.VHost) }

func (c PutUser) validate(*State) error         { return nil }
func (c DeleteUser) validate(s *State) error    { return s.requireUser(c.Name) }
func (c SetUserLimits) validate(s *State) error { return s.requireUser(c.User) }

func (c SetPermission) validate(s *State) error {
	return s.requireBoth(c.Permission.User, c.Permission.VHost)
}
func (c ClearPermission) validate(s *State) error { return s.requireBoth(c.User, c.VHost) }

func (c SetTopicPermission) validate(s *State) error {
	return s.requireBoth(c.Permission.User, c.Permission.VHost)
}
func (c ClearTopicPermission) validate(s *State) error  { return s.requireBoth(c.User, c.VHost) }
func (c ClearTopicPermissions) validate(s *State) error { return s.requireBoth(c.User, c.VHost) }

func (s *State) requireUser(name string) error {
	if _, ok := s.users[name]; !ok {
		return fmt.Errorf("%w: %q", ErrNoUser, name)
	}
	return nil
}

func (s *State) requireVHost(name string) error {
	if _, ok := s.vhosts[name]; !ok {
		return fmt.Errorf("%w: %q", ErrNoVHost, name)
	}
	return nil
}

func (s *State) requireBoth(user, vhost string) error {
	if err := s.requireVHost(vhost); err != nil {
		return err
	}
	return s.requireUser(user)
}

func (c PutVHost) apply(d *draft) error {
	if err := c.VHost.check(); err != nil {
		return err
	}
	next := &domain{vhost: c.VHost.clone()}
	if known, ok := d.vhosts[c.VHost.Name]; ok {
		next.limits = known.limits
	}
	d.changeVHosts()[c.VHost.Name] = next
	return nil
}

func (c DeleteVHost) apply(d *draft) error {
	if _, ok := d.vhosts[c.Name]; ok {
		delete(d.changeVHosts(), c.Name)
	}
	d.dropVHost(c.Name)
	return nil
}

func (c SetVHostLimits) apply(d *draft) error {
	if err := c.Limits.check(MaxConnections, MaxQueues); err != nil {
		return err
	}
	if known, ok := d.vhosts[c.VHost]; ok {
		d.changeVHosts()[c.VHost] = &domain{vhost: known.vhost, limits: maps.Clone(c.Limits)}
	}
	return nil
}

func (c PutUser) apply(d *draft) error {
	if err := c.User.check(); err != nil {
		return err
	}
	a := d.account(c.User.Name)
	if a == nil {
		a = d.adopt(&account{
			user: User{Name: c.User.Name}, permissions: make(map[string]*permission), topics: make(map[topicKey]*topicPermission),
		})
	}
	a.user = c.User.clone()
	return nil
}

func (c DeleteUser) apply(d *draft) error {
	if _, ok := d.users[c.Name]; ok {
		delete(d.changeUsers(), c.Name)
	}
	return nil
}

func (c SetUserLimits) apply(d *draft) error {
	if err := c.Limits.check(MaxConnections, MaxChannels); err != nil {
		return err
	}
	if a := d.account(c.User); a != nil {
		a.limits = maps.Clone(c.Limits)
	}
	return nil
}

func (c SetPermission) apply(d *draft) error {
	p, err := c.Permission.compile()
	if err != nil {
		return err
	}
	a := d.account(c.Permission.User)
	if _, ok := d.vhosts[c.Permission.VHost]; ok && a != nil {
		a.permissions[c.Permission.VHost] = p
	}
	return nil
}

func (c ClearPermission) apply(d *draft) error {
	if a := d.account(c.User); a != nil {
		delete(a.permissions, c.VHost)
	}
	return nil
}

func (c SetTopicPermission) apply(d *draft) error {
	p, err := c.Permission.compile()
	if err != nil {
		return err
	}
	a := d.account(c.Permission.User)
	if _, ok := d.vhosts[c.Permission.VHost]; ok && a != nil {
		a.topics[topicKey{c.Permission.VHost, c.Permission.Exchange}] = p
	}
	return nil
}

func (c ClearTopicPermission) apply(d *draft) error {
	if a := d.account(c.User); a != nil {
		delete(a.topics, topicKey{c.VHost, c.Exchange})
	}
	return nil
}

func (c ClearTopicPermissions) apply(d *draft) error {
	if a := d.account(c.User); a != nil {
		maps.DeleteFunc(a.topics, func(key topicKey, _ *topicPermission) bool { return key.vhost == c.VHost })
	}
	return nil
}
