package broker

import (
	"crypto/rand"
	"maps"
	"slices"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/definitions"
)

// definedAccess finds the changes that lead from a state to what a file says of users, virtual hosts,
// permissions and limits. What the previous reading of the file said and this one does not say is removed,
// except for virtual hosts: their queues would go with them. What is as it should be needs no change. A broker
// without any virtual host would be of no use: if the file has none, it gets first (CONN-15).
func definedAccess(state *access.State, d, previous *definitions.Definitions, first access.VHost) ([]access.Change, error) {
	a := &accessPlan{state: state, users: make(map[string]bool)}
	a.hosts(d, first)
	if err := a.putUsers(d); err != nil {
		return nil, err
	}
	a.permissions(d)
	if previous != nil {
		a.remove(d, previous)
	}
	return a.changes, nil
}

type accessPlan struct {
	state   *access.State
	changes []access.Change
	users   map[string]bool // of the file
}

func (a *accessPlan) add(c access.Change) { a.changes = append(a.changes, c) }

func (a *accessPlan) hosts(d *definitions.Definitions, first access.VHost) {
	known := false
	for range a.state.VHosts() {
		known = true
	}
	if !known && len(d.VHosts) == 0 {
		a.add(access.PutVHost{VHost: first})
	}
	for i := range d.VHosts {
		v := &d.VHosts[i]
		present, ok := a.state.VHost(v.Name)
		if next := v.Over(present); !ok || next.Description != present.Description || !slices.Equal(next.Tags, present.Tags) ||
			next.DefaultQueueType != present.DefaultQueueType || next.Tracing != present.Tracing {
			a.add(access.PutVHost{VHost: next})
		}
	}
	for _, l := range d.VHostLimits {
		if !maps.Equal(l.Limits, a.state.VHostLimits(l.VHost)) {
			a.add(access.SetVHostLimits{VHost: l.VHost, Limits: l.Limits})
		}
	}
}

func (a *accessPlan) putUsers(d *definitions.Definitions) error {
	for i := range d.Users {
		u := &d.Users[i]
		a.users[u.Name] = true
		present, ok := a.state.User(u.Name)
		next, err := userOf(u, present)
		if err != nil {
			return err
		}
		samePassword := next.PasswordHash == present.PasswordHash && next.Hashing == present.Hashing
		if !ok || !samePassword || !slices.Equal(next.Tags, present.Tags) {
			a.add(access.PutUser{User: next})
		}
		if u.Limits != nil && !maps.Equal(u.Limits, a.state.UserLimits(u.Name)) {
			a.add(access.SetUserLimits{User: u.Name, Limits: u.Limits})
		}
	}
	return nil
}

// userOf returns a user of a file as package access has him. A password in plain words is hashed, unless it is
// the one that he has.
func userOf(u *definitions.User, present access.User) (access.User, error) {
	next := u.User
	if next.Hashing == "" {
		next.Hashing = access.SHA256
	}
	if u.Password == "" {
		return next, nil
	}
	if present.Verify(u.Password) {
		next.PasswordHash, next.Hashing = present.PasswordHash, present.Hashing
		return next, nil
	}
	next.Hashing = access.SHA256
	var err error
	next.PasswordHash, err = access.HashPassword(rand.Reader, next.Hashing, u.Password)
	return next, err
}

func (a *accessPlan) permissions(d *definitions.Definitions) {
	for _, p := range d.Permissions {
		if present, ok := a.state.Permission(p.User, p.VHost); !ok || present != p.Permission {
			a.add(access.SetPermission{Permission: p.Permission})
		}
	}
	topics := maps.Collect(topicPermissions(a.state))
	for _, p := range d.TopicPermissions {
		if topics[topicOf(p.TopicPermission)] != p.TopicPermission {
			a.add(access.SetTopicPermission{Permission: p.TopicPermission})
		}
	}
}

// topic names a topic permission.
type topic struct{ user, vhost, exchange string }

func topicOf(p access.TopicPermission) topic { return topic{p.User, p.VHost, p.Exchange} }

func topicPermissions(s *access.State) func(yield func(topic, access.TopicPermission) bool) {
	return func(yield func(topic, access.TopicPermission) bool) {
		for p := range s.TopicPermissions() {
			if !yield(topicOf(p), p) {
				return
			}
		}
	}
}

// remove takes away what the file does not say any more. Somebody else may have done so already.
func (a *accessPlan) remove(d, previous *definitions.Definitions) {
	for _, l := range previous.VHostLimits {
		gone := !slices.ContainsFunc(d.VHostLimits, func(now definitions.VHostLimits) bool { return now.VHost == l.VHost })
		if gone && len(a.state.VHostLimits(l.VHost)) > 0 {
			a.add(access.SetVHostLimits{VHost: l.VHost})
		}
	}
	permitted := make(map[[2]string]bool)
	for _, p := range d.Permissions {
		permitted[[2]string{p.User, p.VHost}] = true
	}
	for _, p := range previous.Permissions {
		if a.state.MayEnter(p.User, p.VHost) && !permitted[[2]string{p.User, p.VHost}] {
			a.add(access.ClearPermission{User: p.User, VHost: p.VHost})
		}
	}
	restricted := make(map[topic]bool)
	for _, p := range d.TopicPermissions {
		restricted[topicOf(p.TopicPermission)] = true
	}
	present := maps.Collect(topicPermissions(a.state))
	for _, p := range previous.TopicPermissions {
		if _, ok := present[topicOf(p.TopicPermission)]; ok && !restricted[topicOf(p.TopicPermission)] {
			a.add(access.ClearTopicPermission{User: p.User, VHost: p.VHost, Exchange: p.Exchange})
		}
	}
	a.removeUsers(d, previous)
}

// removeUsers comes last: a user takes his permissions along, and what was said of them before would make no
// sense behind it.
func (a *accessPlan) removeUsers(d, previous *definitions.Definitions) {
	limited := make(map[string]bool)
	for _, u := range d.Users {
		limited[u.Name] = u.Limits != nil
	}
	for _, u := range previous.Users {
		_, exists := a.state.User(u.Name)
		switch {
		case exists && !a.users[u.Name]:
			a.add(access.DeleteUser{Name: u.Name})
		case exists && u.Limits != nil && !limited[u.Name] && len(a.state.UserLimits(u.Name)) > 0:
			a.add(access.SetUserLimits{User: u.Name})
		}
	}
}
