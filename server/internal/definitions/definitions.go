package definitions

import (
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// Definitions is what a file says should exist. Read only.
type Definitions struct {
	Users            []User
	VHosts           []VHost
	VHostLimits      []VHostLimits
	Permissions      []Permission
	TopicPermissions []TopicPermission
	// Policies are those of both kinds.
	Policies  []Policy
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
	// Notes tell what was passed over, each with its place: the first of it, and how much more there is.
	Notes []string
}

// User is a user who should exist.
type User struct {
	Where
	access.User
	// Password is a password in plain words; if it is not empty the user has no hash.
	Password string
	// Limits are nil if the file does not say any; then those that the user has stay.
	Limits access.Limits
}

// VHost is a virtual host that should exist. What is nil stays as it is, or is as in a new host.
type VHost struct {
	Where
	Name             string
	Description      *string
	Tags             []string
	DefaultQueueType *string
	Tracing          *bool
}

// Over returns the description of the host where it was described otherwise before.
func (v *VHost) Over(present access.VHost) access.VHost {
	present.Name = v.Name
	if v.Description != nil {
		present.Description = *v.Description
	}
	if v.Tags != nil {
		present.Tags = v.Tags
	}
	if v.DefaultQueueType != nil {
		present.DefaultQueueType = *v.DefaultQueueType
	}
	if v.Tracing != nil {
		present.Tracing = *v.Tracing
	}
	return present
}

// VHostLimits are the limits that a virtual host should have. There is one of them for a host at most.
type VHostLimits struct {
	Where
	VHost  string
	Limits access.Limits
}

// Permission is what a user should be permitted in a virtual host.
type Permission struct {
	Where
	access.Permission
}

// TopicPermission is how a user's topics should be restricted.
type TopicPermission struct {
	Where
	access.TopicPermission
}

// Policy is a policy, or operator policy, that should exist. It is valid.
type Policy struct {
	Where
	policy.Policy
}

// Exchange is an exchange that should exist.
type Exchange struct {
	Where
	VHost, Name, Type             string
	Durable, AutoDelete, Internal bool
	Arguments                     table
}

// Queue is a queue that should exist. Its arguments are valid.
type Queue struct {
	Where
	VHost, Name         string
	Durable, AutoDelete bool
	Arguments           table
}

// Binding is a binding that should exist. The source is not the default exchange.
type Binding struct {
	Where
	VHost, Source, Destination, RoutingKey string
	// ToExchange: the destination is an exchange, else it is a queue.
	ToExchange bool
	Arguments  table
}

// Parse reads a file, whose name is for errors. They are *Faulty.
func Parse(file string, data []byte) (*Definitions, error) {
	d := &document{file: file, data: data}
	root, at, err := scan(data)
	if err != nil {
		top := place{document: d, value: &value{at: at}}
		top.fault("%s", err)
		return nil, &d.faults
	}
	defs := &Definitions{}
	top := place{document: d, value: &root}
	if !top.is(object) {
		return nil, &d.faults
	}
	r := top.record()
	r.known("rabbit_version", "rabbitmq_version", "product_name", "product_version", "rabbitmq_definition_format",
		"original_cluster_name", "original_vhost_name", "explanation")
	defs.readVHosts(r)
	defs.readUsers(r)
	defs.readPermissions(r)
	defs.readPolicies(r)
	defs.readParameters(r)
	defs.readTopology(r)
	if m, ok := r.field("global_parameters"); ok && len(m.value.list) > 0 {
		m.note("global parameters have no effect")
	}
	r.done()
	defs.Notes = tell(d.notes)
	if err := d.faults.Err(); err != nil {
		return nil, err
	}
	return defs, nil
}

// each yields the records of one of the file's lists.
func each(r *record, name string) func(yield func(*record) bool) {
	return func(yield func(*record) bool) {
		m, ok := r.field(name)
		if !ok {
			return
		}
		for element := range m.elements {
			if !element.is(object) {
				continue
			}
			item := element.record()
			if !yield(item) {
				return
			}
			item.done()
		}
	}
}
