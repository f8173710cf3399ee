package access

import (
	"fmt"
	"maps"
)

// With returns the state after changes; s stays as it is. Either all changes are in it, or there is an
// error: one of them is malformed.
//
// Nothing else is an error, so that a log can be replayed over a state which has some of its effects
// already. A change of something that does not exist has no effect; ValidWith finds these.
func (s *State) With(changes ...Change) (*State, error) {
	d := draft{users: s.users, vhosts: s.vhosts}
	for _, c := range changes {
		if err := c.apply(&d); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Op(), err)
		}
	}
	return &State{users: d.users, vhosts: d.vhosts}, nil
}

// ValidWith is With for changes that somebody asks for: each must make sense after those before it, so what
// it is about must exist. If it does not, the error matches ErrNoUser or ErrNoVHost.
func (s *State) ValidWith(changes ...Change) (*State, error) {
	d := draft{users: s.users, vhosts: s.vhosts}
	for _, c := range changes {
		err := c.validate(&State{users: d.users, vhosts: d.vhosts})
		if err == nil {
			err = c.apply(&d)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Op(), err)
		}
	}
	return &State{users: d.users, vhosts: d.vhosts}, nil
}

// draft is a state in the making. It copies what it changes, once.
type draft struct {
	users  map[string]*account
	vhosts map[string]*domain

	ownUsers, ownVHosts bool
	owned               map[*account]bool // made by this draft
}

// account returns a user's account to be changed, or nil.
func (d *draft) account(name string) *account {
	a, ok := d.users[name]
	if !ok || d.owned[a] {
		return a
	}
	return d.adopt(&account{
		user: a.user, limits: a.limits, permissions: maps.Clone(a.permissions), topics: maps.Clone(a.topics),
	})
}

// adopt puts an account that is the draft's own into its place.
func (d *draft) adopt(a *account) *account {
	if d.owned == nil {
		d.owned = make(map[*account]bool)
	}
	d.owned[a] = true
	d.changeUsers()[a.user.Name] = a
	return a
}

// changeUsers returns the users, to be changed.
func (d *draft) changeUsers() map[string]*account {
	if !d.ownUsers {
		d.ownUsers = true
		if d.users = maps.Clone(d.users); d.users == nil {
			d.users = make(map[string]*account)
		}
	}
	return d.users
}

// changeVHosts returns the virtual hosts, to be changed.
func (d *draft) changeVHosts() map[string]*domain {
	if !d.ownVHosts {
		d.ownVHosts = true
		if d.vhosts = maps.Clone(d.vhosts); d.vhosts == nil {
			d.vhosts = make(map[string]*domain)
		}
	}
	return d.vhosts
}

// dropVHost takes all permissions in a virtual host away.
func (d *draft) dropVHost(name string) {
	for user, a := range d.users {
		if a.knows(name) {
			d.account(user).forget(name)
		}
	}
}

// knows reports whether the user has any permission in a virtual host.
func (a *account) knows(vhost string) bool {
	if _, ok := a.permissions[vhost]; ok {
		return true
	}
	for key := range a.topics {
		if key.vhost == vhost {
			return true
		}
	}
	return false
}

func (a *account) forget(vhost string) {
	delete(a.permissions, vhost)
	maps.DeleteFunc(a.topics, func(key topicKey, _ *topicPermission) bool { return key.vhost == vhost })
}
