package access

import (
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
)

// The names of the operations in the log.
const (
	opPutVHost              = "vhost.create"
	opDeleteVHost           = "vhost.delete"
	opSetVHostLimits        = "vhost_limits.set"
	opPutUser               = "user.put"
	opDeleteUser            = "user.delete"
	opSetUserLimits         = "user_limits.set"
	opSetPermission         = "permission.set"
	opClearPermission       = "permission.clear"
	opSetTopicPermission    = "topic_permission.set"
	opClearTopicPermission  = "topic_permission.clear"
	opClearTopicPermissions = "topic_permissions.clear"
)

// Op returns "vhost.create".
func (PutVHost) Op() string { return opPutVHost }

// Op returns "vhost.delete".
func (DeleteVHost) Op() string { return opDeleteVHost }

// Op returns "vhost_limits.set".
func (SetVHostLimits) Op() string { return opSetVHostLimits }

// Op returns "user.put".
func (PutUser) Op() string { return opPutUser }

// Op returns "user.delete".
func (DeleteUser) Op() string { return opDeleteUser }

// Op returns "user_limits.set".
func (SetUserLimits) Op() string { return opSetUserLimits }

// Op returns "permission.set".
func (SetPermission) Op() string { return opSetPermission }

// Op returns "permission.clear".
func (ClearPermission) Op() string { return opClearPermission }

// Op returns "topic_permission.set".
func (SetTopicPermission) Op() string { return opSetTopicPermission }

// Op returns "topic_permission.clear".
func (ClearTopicPermission) Op() string { return opClearTopicPermission }

// Op returns "topic_permissions.clear".
func (ClearTopicPermissions) Op() string { return opClearTopicPermissions }

// Encode returns a change as a field table, as it stands in the log. Of the fields' names "vhost" is the
// number of a virtual host, as in all records of the topology, and "vhost_name" its name.
func Encode(c Change) amqp.Table {
	t := amqp.Table{"op": c.Op()}
	c.encode(t)
	return t
}

func (c PutVHost) encode(t amqp.Table) {
	t["name"], t["vhost"] = c.VHost.Name, c.VHost.ID
	t["description"], t["default_queue_type"] = c.VHost.Description, c.VHost.DefaultQueueType
	t["tags"] = encodeTags(c.VHost.Tags)
	t["tracing"], t["protected"] = c.VHost.Tracing, c.VHost.Protected
}

func (c DeleteVHost) encode(t amqp.Table) { t["name"] = c.Name }

func (c SetVHostLimits) encode(t amqp.Table) {
	t["vhost_name"], t["limits"] = c.VHost, c.Limits.encode()
}

func (c PutUser) encode(t amqp.Table) {
	t["name"], t["tags"] = c.User.Name, encodeTags(c.User.Tags)
	t["password_hash"], t["hashing_algorithm"] = c.User.PasswordHash, string(c.User.Hashing)
}

func (c DeleteUser) encode(t amqp.Table) { t["name"] = c.Name }

func (c SetUserLimits) encode(t amqp.Table) { t["user"], t["limits"] = c.User, c.Limits.encode() }

func (c SetPermission) encode(t amqp.Table) {
	p := c.Permission
	t["user"], t["vhost_name"] = p.User, p.VHost
	t["configure"], t["write"], t["read"] = p.Configure, p.Write, p.Read
}

func (c ClearPermission) encode(t amqp.Table) { t["user"], t["vhost_name"] = c.User, c.VHost }

func (c SetTopicPermission) encode(t amqp.Table) {
	p := c.Permission
	t["user"], t["vhost_name"], t["exchange"] = p.User, p.VHost, p.Exchange
	t["write"], t["read"] = p.Write, p.Read
}

func (c ClearTopicPermission) encode(t amqp.Table) {
	t["user"], t["vhost_name"], t["exchange"] = c.User, c.VHost, c.Exchange
}

func (c ClearTopicPermissions) encode(t amqp.Table) { t["user"], t["vhost_name"] = c.User, c.VHost }

func encodeTags(tags []string) []any {
	array := make([]any, len(tags))
	for i, tag := range tags {
		array[i] = tag
	}
	return array
}

func (l Limits) encode() amqp.Table {
	t := make(amqp.Table, len(l))
	for name, value := range l {
		t[string(name)] = value
	}
	return t
}

// Decode reads a change back. Fields that it does not know are passed over.
func Decode(t amqp.Table) (Change, error) {
	f := fields{table: t}
	c := f.change(f.text("op"))
	if f.err != nil {
		return nil, fmt.Errorf("access record: %w", f.err)
	}
	return c, nil
}

// Owns reports whether an operation of the log's topology records is one of this package's.
func Owns(op string) bool {
	switch op {
	case opPutVHost, opDeleteVHost, opSetVHostLimits, opPutUser, opDeleteUser, opSetUserLimits, opSetPermission,
		opClearPermission, opSetTopicPermission, opClearTopicPermission, opClearTopicPermissions:
		return true
	}
	return false
}

func (f *fields) change(op string) Change {
	switch op {
	case opPutVHost:
		return PutVHost{VHost{
			Name: f.text("name"), ID: f.number("vhost"), Description: f.optionalText("description"),
			DefaultQueueType: f.optionalText("default_queue_type"), Tags: f.tags(),
			Tracing: f.optionalFlag("tracing"), Protected: f.optionalFlag("protected"),
		}}
	case opDeleteVHost:
		return DeleteVHost{f.text("name")}
	case opSetVHostLimits:
		return SetVHostLimits{f.text("vhost_name"), f.limits()}
	case opPutUser:
		return PutUser{User{
			Name: f.text("name"), PasswordHash: f.text("password_hash"), Hashing: Hashing(f.text("hashing_algorithm")), Tags: f.tags(),
		}}
	case opDeleteUser:
		return DeleteUser{f.text("name")}
	case opSetUserLimits:
		return SetUserLimits{f.text("user"), f.limits()}
	case opSetPermission:
		return SetPermission{Permission{f.text("user"), f.text("vhost_name"), f.text("configure"), f.text("write"), f.text("read")}}
	case opClearPermission:
		return ClearPermission{f.text("user"), f.text("vhost_name")}
	case opSetTopicPermission:
		return SetTopicPermission{TopicPermission{
			f.text("user"), f.text("vhost_name"), f.text("exchange"), f.text("write"), f.text("read"),
		}}
	case opClearTopicPermission:
		return ClearTopicPermission{f.text("user"), f.text("vhost_name"), f.text("exchange")}
	case opClearTopicPermissions:
		return ClearTopicPermissions{f.text("user"), f.text("vhost_name")}
	}
	if f.err == nil {
		f.err = fmt.Errorf("unknown operation %q; a newer millrace wrote it", op)
	}
	return nil
}

// fields reads a table's fields; the first that is missing or of another type sticks as the error.
type fields struct {
	table amqp.Table
	err   error
}

func (f *fields) fault(key string) {
	if f.err == nil {
		f.err = fmt.Errorf("field %q is missing or of a wrong type", key)
	}
}

func (f *fields) text(key string) string {
	v, ok := f.table[key].(string)
	if !ok {
		f.fault(key)
	}
	return v
}

// The optional fields are those that the first records of virtual hosts did not have.

func (f *fields) optionalText(key string) string {
	if _, ok := f.table[key]; !ok {
		return ""
	}
	return f.text(key)
}

func (f *fields) optionalFlag(key string) bool {
	value, ok := f.table[key]
	if !ok {
		return false
	}
	v, ok := value.(bool)
	if !ok {
		f.fault(key)
	}
	return v
}

func (f *fields) number(key string) uint32 {
	n, ok := amqp.Int(f.table[key])
	if !ok || n < 0 || int64(uint32(n)) != n {
		f.fault(key)
	}
	return uint32(n)
}

func (f *fields) tags() []string {
	value, ok := f.table["tags"]
	if !ok {
		return nil
	}
	array, ok := value.([]any)
	if !ok {
		f.fault("tags")
	}
	var tags []string
	for _, v := range array {
		tag, ok := v.(string)
		if !ok {
			f.fault("tags")
		}
		tags = append(tags, tag)
	}
	return tags
}

func (f *fields) limits() Limits {
	table, ok := f.table["limits"].(amqp.Table)
	if !ok {
		f.fault("limits")
	}
	limits := make(Limits, len(table))
	for name, value := range table {
		n, ok := amqp.Int(value)
		if !ok {
			f.fault("limits")
		}
		limits[Limit(name)] = n
	}
	return limits
}
