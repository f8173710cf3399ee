package definitions

import (
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

func (d *Definitions) readVHosts(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "vhosts") {
		v := VHost{Where: item.where(), Name: item.text("name")}
		v.describe(item)
		if m, ok := item.field("metadata"); ok {
			metadata := m.record()
			v.describe(metadata)
			metadata.done()
		}
		if tracing, ok := item.field("tracing"); ok && tracing.is(boolean) {
			v.Tracing = new(tracing.value.text == "true")
		}
		item.known("cluster_state", "protected_from_deletion")
		item.unique(seen, v.Name)
		item.valid(access.PutVHost{VHost: v.Over(access.VHost{})})
		d.VHosts = append(d.VHosts, v)
		if m, ok := item.field("limits"); ok {
			d.readVHostLimits(m, v.Name)
		}
	}
}

// describe reads what stands in a virtual host, or in its metadata.
func (v *VHost) describe(r *record) {
	if description, ok := r.optionalText("description"); ok {
		v.Description = &description
	}
	if tags, ok := r.tags("tags"); ok {
		v.Tags = tags
	}
	if t, ok := r.optionalText("default_queue_type"); ok {
		if t == "undefined" {
			t = ""
		}
		if _, known := policy.ParseType(t); !known && t != "" {
			r.fields["default_queue_type"].fault("%q is no type of queues; there are classic, quorum and stream", t)
		}
		v.DefaultQueueType = &t
	}
}

func (d *Definitions) readUsers(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "users") {
		u := User{Where: item.where(), Limits: item.limits("limits")}
		u.Name = item.text("name")
		u.Tags, _ = item.tags("tags")
		hash, _ := item.optionalText("password_hash")
		password, _ := item.optionalText("password")
		_, hashed := item.fields["password_hash"]
		_, plain := item.fields["password"]
		algorithm, _ := item.optionalText("hashing_algorithm")
		switch {
		case hashed && plain:
			item.fields["password"].fault("this is given beside password_hash; leave one of them out")
		case plain && password == "" && item.sound():
			item.fields["password"].fault(`this is empty; a user who logs in by other means has "password_hash": ""`)
		case !hashed && !plain:
			item.fault(`"password_hash" is missing, and "password" too; a user who logs in by other means has "password_hash": ""`)
		}
		u.PasswordHash, u.Password, u.Hashing = hash, password, access.Hashing(algorithm)
		item.unique(seen, u.Name)
		item.valid(access.PutUser{User: u.User}, access.SetUserLimits{User: u.Name, Limits: u.Limits})
		d.Users = append(d.Users, u)
	}
}

func (d *Definitions) readPermissions(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "permissions") {
		p := access.Permission{
			User: item.text("user"), VHost: item.vhost(),
			Configure: item.text("configure"), Write: item.text("write"), Read: item.text("read"),
		}
		item.unique(seen, p.User, p.VHost)
		item.valid(permitted(p.VHost, p.User, access.SetPermission{Permission: p})...)
		d.Permissions = append(d.Permissions, Permission{item.where(), p})
	}
	for item := range each(r, "topic_permissions") {
		p := access.TopicPermission{
			User: item.text("user"), VHost: item.vhost(), Exchange: item.name("exchange"),
			Write: item.text("write"), Read: item.text("read"),
		}
		item.unique(seen, p.User, p.VHost, p.Exchange)
		item.valid(permitted(p.VHost, p.User, access.SetTopicPermission{Permission: p})...)
		d.TopicPermissions = append(d.TopicPermissions, TopicPermission{item.where(), p})
	}
}

// permitted returns a permission behind what it needs: its virtual host and its user.
func permitted(vhost, user string, permission access.Change) []access.Change {
	return []access.Change{
		access.PutVHost{VHost: access.VHost{Name: vhost}}, access.PutUser{User: access.User{Name: user}}, permission,
	}
}

// vhost reads the name of the virtual host that something is in.
func (r *record) vhost() string {
	m, ok := r.field("vhost")
	if !ok {
		r.fault(`"vhost" is missing; the export of a single virtual host has none, and cannot be used here`)
		return ""
	}
	if !m.is(text) {
		return ""
	}
	return m.value.text
}

// unique refuses what the file has twice. Names of one kind in seen are of equal length.
func (r *record) unique(seen map[string]bool, names ...string) {
	key := fmt.Sprintf("%q", names)
	if seen[key] {
		r.fault("the file has this twice; leave one of them out")
	}
	seen[key] = true
}

// valid refuses what package access would refuse, whatever it knows.
func (r *record) valid(changes ...access.Change) {
	if !r.sound() {
		return // what it lacks has been told
	}
	var nobody access.State
	if _, err := nobody.With(changes...); err != nil {
		r.fault("%s", errors.Unwrap(err)) // without the name of the change, which nobody asked for
	}
}

// tags reads a list of strings, or one string with commas between.
func (r *record) tags(name string) ([]string, bool) {
	m, ok := r.field(name)
	if !ok {
		return nil, false
	}
	if m.value.kind == text {
		return access.ParseTags(m.value.text), true
	}
	tags := []string{}
	for element := range m.elements {
		if element.is(text) {
			tags = append(tags, element.value.text)
		}
	}
	return tags, true
}

// limits reads limits; nil if there is no such field.
func (r *record) limits(name string) access.Limits {
	m, ok := r.field(name)
	if !ok {
		return nil
	}
	return m.limits()
}

func (p place) limits() access.Limits {
	limits := access.Limits{}
	for name, m := range p.members {
		n, ok := m.value.integer()
		if !ok {
			m.fault("this must be a whole number; a negative one is no limit")
		}
		limits[access.Limit(name)] = n
	}
	return limits
}
