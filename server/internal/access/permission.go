package access

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/pattern"
)

// Operation is what somebody wants to do with a resource.
type Operation uint8

// The operations (chapter 24).
const (
	Configure Operation = iota
	Write
	Read
)

// String returns "configure", "write" or "read".
func (o Operation) String() string { return [...]string{"configure", "write", "read"}[o%3] }

// Kind is what a resource is.
type Kind uint8

// The kinds of resources.
const (
	KindExchange Kind = iota
	KindQueue
)

// String returns "exchange" or "queue".
func (k Kind) String() string { return [...]string{"exchange", "queue"}[k%2] }

// Resource is what permission is asked for. It need not exist.
type Resource struct {
	Kind Kind
	Name string
}

// Exchange is the exchange of a name.
func Exchange(name string) Resource { return Resource{KindExchange, name} }

// Queue is the queue of a name.
func Queue(name string) Resource { return Resource{KindQueue, name} }

// shown returns the resource as patterns and users see it: the default exchange has a name here.
func (r Resource) shown() Resource {
	if r == (Resource{Kind: KindExchange}) {
		r.Name = "amq.default"
	}
	return r
}

// Subject is whom a channel works for, and where.
type Subject struct {
	User, VHost string
	// ClientID is the client's name in protocols that have one (MQTT).
	ClientID string
}

// Permission is what a user may do in a virtual host: three patterns of names. An empty one stands for
// ^$, which is no name at all but the empty one.
type Permission struct {
	User, VHost            string
	Configure, Write, Read string
}

// permission is a Permission with its patterns made. Immutable.
type permission struct {
	Permission
	patterns [3]*pattern.Pattern // by Operation
}

func (p Permission) compile() (*permission, error) {
	compiled := &permission{Permission: p}
	for o, source := range []string{Configure: p.Configure, Write: p.Write, Read: p.Read} {
		made, err := compileAccess(source)
		if err != nil {
			return nil, fmt.Errorf("%s of user %q in virtual host %q: %w", Operation(o), p.User, p.VHost, err)
		}
		compiled.patterns[o] = made
	}
	return compiled, nil
}

func compileAccess(source string) (*pattern.Pattern, error) {
	if source == "" {
		source = "^$"
	}
	made, err := pattern.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", source, err)
	}
	return made, nil
}

// allows reports whether an operation is permitted; no permission permits nothing.
func (p *permission) allows(o Operation, r Resource) bool {
	return p != nil && p.patterns[o%3].Match(r.shown().Name)
}

// Check refuses an operation that the subject has no permission for (AUTH-01). Errors are *amqp.Error.
func (s *State) Check(who Subject, o Operation, r Resource, method amqp.MethodID) error {
	return s.permission(who.User, who.VHost).check(who, o, r, method)
}

func (p *permission) check(who Subject, o Operation, r Resource, method amqp.MethodID) error {
	if p.allows(o, r) {
		return nil
	}
	r = r.shown()
	return amqp.Errorf(amqp.AccessRefused, method, "%s access to %s '%s' in vhost '%s' refused for user '%s'",
		o, r.Kind, r.Name, who.VHost, who.User)
}

// CheckAny refuses if the subject may neither configure nor write nor read the resource: that is what a
// passive declaration asks for. Errors are *amqp.Error.
func (s *State) CheckAny(who Subject, r Resource, method amqp.MethodID) error {
	return s.permission(who.User, who.VHost).checkAny(who, r, method)
}

func (p *permission) checkAny(who Subject, r Resource, method amqp.MethodID) error {
	for _, o := range [...]Operation{Configure, Write, Read} {
		if p.allows(o, r) {
			return nil
		}
	}
	r = r.shown()
	return amqp.Errorf(amqp.AccessRefused, method, "access to %s '%s' in vhost '%s' refused for user '%s'",
		r.Kind, r.Name, who.VHost, who.User)
}

// TopicPermission restricts the routing keys that a user may write or read in one topic exchange
// (AUTH-03). Patterns may hold {username}, {vhost} and {client_id}, which stand for the subject's own.
type TopicPermission struct {
	User, VHost, Exchange string
	Write, Read           string
}

// topicPermission is a TopicPermission with its patterns made; without them, it permits nothing.
// Immutable.
type topicPermission struct {
	TopicPermission
	write, read *pattern.Pattern
}

// clientID is the variable that is not known before somebody connects.
const clientID = "{client_id}"

func (p TopicPermission) compile() (*topicPermission, error) {
	return p.compileFor(Subject{User: p.User, VHost: p.VHost})
}

// compileFor makes the patterns with the subject's names in them. A client that has no name leaves that
// variable as it stands, as in RabbitMQ.
func (p TopicPermission) compileFor(who Subject) (*topicPermission, error) {
	names := []string{"{username}", regexp.QuoteMeta(who.User), "{vhost}", regexp.QuoteMeta(who.VHost)}
	if who.ClientID != "" {
		names = append(names, clientID, regexp.QuoteMeta(who.ClientID))
	}
	replacer := strings.NewReplacer(names...)
	compiled := &topicPermission{TopicPermission: p}
	var err error
	if compiled.write, err = compileAccess(replacer.Replace(p.Write)); err == nil {
		compiled.read, err = compileAccess(replacer.Replace(p.Read))
	}
	if err != nil {
		return nil, fmt.Errorf("topics of user %q in exchange %q in virtual host %q: %w", p.User, p.Exchange, p.VHost, err)
	}
	return compiled, nil
}

// forSubject returns the permission with the client's name in it. A name that makes the pattern invalid,
// as one may within a class, is permitted nothing.
func (p *topicPermission) forSubject(who Subject) *topicPermission {
	if p == nil || who.ClientID == "" || !strings.Contains(p.Write, clientID) && !strings.Contains(p.Read, clientID) {
		return p
	}
	compiled, err := p.compileFor(who)
	if err != nil {
		return &topicPermission{TopicPermission: p.TopicPermission}
	}
	return compiled
}

// CheckTopic refuses a routing key that the subject may not write or read in a topic exchange. Where no
// topic permission is set, there is no restriction. Errors are *amqp.Error.
func (s *State) CheckTopic(who Subject, o Operation, exchange, key string, method amqp.MethodID) error {
	return s.topicPermission(who.User, who.VHost, exchange).forSubject(who).check(who, o, exchange, key, method)
}

// allows reports whether a routing key is permitted; no topic permission permits everything.
func (p *topicPermission) allows(o Operation, key string) bool {
	if p == nil {
		return true
	}
	var topics *pattern.Pattern
	switch o {
	case Write:
		topics = p.write
	case Read:
		topics = p.read
	}
	return topics != nil && topics.Match(key)
}

func (p *topicPermission) check(who Subject, o Operation, exchange, key string, method amqp.MethodID) error {
	if p.allows(o, key) {
		return nil
	}
	return amqp.Errorf(amqp.AccessRefused, method, "%s access to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'",
		o, key, exchange, who.VHost, who.User)
}
