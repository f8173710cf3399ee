package access

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// State is everything that is known at one moment. It never changes and may be read by all goroutines;
// the zero value knows nobody. Lists come sorted.
type State struct {
	users  map[string]*account
	vhosts map[string]*domain
}

// account is all that is known of a user. Immutable, once the draft that made it has become a state.
type account struct {
	user        User
	limits      Limits
	permissions map[string]*permission // by virtual host
	topics      map[topicKey]*topicPermission
}

type topicKey struct{ vhost, exchange string }

// domain is all that is known of a virtual host. Immutable.
type domain struct {
	vhost  VHost
	limits Limits
}

// User finds a user.
func (s *State) User(name string) (User, bool) {
	a, ok := s.users[name]
	if !ok {
		return User{}, false
	}
	return a.user.clone(), true
}

// Users yields all users.
func (s *State) Users() iter.Seq[User] {
	return func(yield func(User) bool) {
		for _, a := range s.accounts() {
			if !yield(a.user.clone()) {
				return
			}
		}
	}
}

// VHost finds a virtual host.
func (s *State) VHost(name string) (VHost, bool) {
	d, ok := s.vhosts[name]
	if !ok {
		return VHost{}, false
	}
	return d.vhost.clone(), true
}

// VHosts yields all virtual hosts.
func (s *State) VHosts() iter.Seq[VHost] {
	return func(yield func(VHost) bool) {
		for _, name := range slices.Sorted(maps.Keys(s.vhosts)) {
			if !yield(s.vhosts[name].vhost.clone()) {
				return
			}
		}
	}
}

// UserLimits returns the limits of a user; there are none if there is no such user.
func (s *State) UserLimits(name string) Limits {
	if a, ok := s.users[name]; ok {
		return maps.Clone(a.limits)
	}
	return nil
}

// VHostLimits returns the limits of a virtual host; there are none if there is no such host.
func (s *State) VHostLimits(name string) Limits {
	if d, ok := s.vhosts[name]; ok {
		return maps.Clone(d.limits)
	}
	return nil
}

// Permission finds what a user may do in a virtual host.
func (s *State) Permission(user, vhost string) (Permission, bool) {
	p := s.permission(user, vhost)
	if p == nil {
		return Permission{}, false
	}
	return p.Permission, true
}

// MayEnter reports whether a user may use a virtual host at all.
func (s *State) MayEnter(user, vhost string) bool { return s.permission(user, vhost) != nil }

// Permissions yields all permissions: user by user, host by host.
func (s *State) Permissions() iter.Seq[Permission] {
	return func(yield func(Permission) bool) {
		for _, a := range s.accounts() {
			for _, vhost := range slices.Sorted(maps.Keys(a.permissions)) {
				if !yield(a.permissions[vhost].Permission) {
					return
				}
			}
		}
	}
}

// TopicPermissions yields all topic permissions: user by user, host by host, exchange by exchange.
func (s *State) TopicPermissions() iter.Seq[TopicPermission] {
	return func(yield func(TopicPermission) bool) {
		for _, a := range s.accounts() {
			keys := slices.SortedFunc(maps.Keys(a.topics), func(x, y topicKey) int {
				return cmp.Or(cmp.Compare(x.vhost, y.vhost), cmp.Compare(x.exchange, y.exchange))
			})
			for _, key := range keys {
				if !yield(a.topics[key].TopicPermission) {
					return
				}
			}
		}
	}
}

// Changes yields the changes that make this state out of an empty one, in an order in which each is
// valid. Equal states yield equal changes.
func (s *State) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for v := range s.VHosts() {
			if !yield(PutVHost{v}) {
				return
			}
			if limits := s.VHostLimits(v.Name); len(limits) > 0 && !yield(SetVHostLimits{v.Name, limits}) {
				return
			}
		}
		for u := range s.Users() {
			if !yield(PutUser{u}) {
				return
			}
			if limits := s.UserLimits(u.Name); len(limits) > 0 && !yield(SetUserLimits{u.Name, limits}) {
				return
			}
		}
		for p := range s.Permissions() {
			if !yield(SetPermission{p}) {
				return
			}
		}
		for p := range s.TopicPermissions() {
			if !yield(SetTopicPermission{p}) {
				return
			}
		}
	}
}

func (s *State) accounts() []*account {
	return slices.SortedFunc(maps.Values(s.users), func(a, b *account) int {
		return cmp.Compare(a.user.Name, b.user.Name)
	})
}

func (s *State) permission(user, vhost string) *permission {
	if a, ok := s.users[user]; ok {
		return a.permissions[vhost]
	}
	return nil
}

// topicPermission returns what restricts the user's topics in an exchange; nil if nothing does.
func (s *State) topicPermission(user, vhost, exchange string) *topicPermission {
	if a, ok := s.users[user]; ok {
		return a.topics[topicKey{vhost, exchange}]
	}
	return nil
}

// anyTopics reports whether the user's topics are restricted in some exchange of a virtual host.
func (s *State) anyTopics(user, vhost string) bool {
	if a, ok := s.users[user]; ok {
		for key := range a.topics {
			if key.vhost == vhost {
				return true
			}
		}
	}
	return false
}
