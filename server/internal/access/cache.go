package access

import "github.com/millrace-mq/millrace/server/amqp"

// cacheSize is how many answers are remembered; it is RabbitMQ's number (AUTH-04).
const cacheSize = 12

// Cache asks for one subject, and remembers what was permitted until any state is published: a change
// counts from the next question on. Refusals are not remembered, for they close the channel.
//
// It belongs to one connection and is for one goroutine at a time.
type Cache struct {
	// Immutable.
	control *Control
	who     Subject

	// As of the generation.
	generation uint64
	permission *permission
	anyTopics  bool // some exchange's topics are restricted
	allowed    ring[question]
	topics     ring[topicAnswer]
}

// question is one that was answered with yes.
type question struct {
	operation Operation
	resource  Resource
}

// topicAnswer says what restricts the topics of an exchange: nil is nothing.
type topicAnswer struct {
	exchange   string
	permission *topicPermission
}

// ring keeps the last values.
type ring[T any] struct {
	values [cacheSize]T
	used   int
	next   int
}

func (r *ring[T]) add(value T) {
	r.values[r.next] = value
	r.next = (r.next + 1) % len(r.values)
	r.used = min(r.used+1, len(r.values))
}

// NewCache returns a cache of the answers to one subject.
func NewCache(control *Control, who Subject) *Cache {
	c := &Cache{control: control, who: who}
	c.forget(control.Generation())
	return c
}

// Subject returns whom the cache asks for.
func (c *Cache) Subject() Subject { return c.who }

// Generation grows whenever a state is published: until it does, what was permitted still is.
func (c *Cache) Generation() uint64 { return c.control.Generation() }

// refresh forgets everything if a newer state was published.
func (c *Cache) refresh() {
	if generation := c.control.Generation(); generation != c.generation {
		c.forget(generation)
	}
}

// forget starts afresh. The generation was read before the state is: a state that is published in between
// makes the cache forget once more, and never remember what is old.
func (c *Cache) forget(generation uint64) {
	*c = Cache{
		control: c.control, who: c.who, generation: generation,
		permission: c.control.State().permission(c.who.User, c.who.VHost),
		anyTopics:  c.control.State().anyTopics(c.who.User, c.who.VHost),
	}
}

// Check refuses an operation that there is no permission for (AUTH-01). Errors are *amqp.Error. The name
// of the resource is kept.
func (c *Cache) Check(o Operation, r Resource, method amqp.MethodID) error {
	c.refresh()
	want := question{o, r}
	for i := range c.allowed.used {
		if c.allowed.values[i] == want {
			return nil
		}
	}
	if err := c.permission.check(c.who, o, r, method); err != nil {
		return err
	}
	c.allowed.add(want)
	return nil
}

// Remembers reports whether Check would say yes without looking further. It is for names that stand in a
// buffer and are not worth a string yet.
func (c *Cache) Remembers(o Operation, k Kind, name []byte) bool {
	c.refresh()
	for i := range c.allowed.used {
		if q := &c.allowed.values[i]; q.operation == o && q.resource.Kind == k && q.resource.Name == string(name) {
			return true
		}
	}
	return false
}

// CheckAny refuses if there is no permission of any kind: see State.CheckAny.
func (c *Cache) CheckAny(r Resource, method amqp.MethodID) error {
	c.refresh()
	return c.permission.checkAny(c.who, r, method)
}

// CheckTopic refuses a routing key: see State.CheckTopic. What is remembered is whether the exchange is
// restricted, and how. The name of the exchange is kept.
func (c *Cache) CheckTopic(o Operation, exchange, key string, method amqp.MethodID) error {
	return c.topicPermission(exchange).check(c.who, o, exchange, key, method)
}

func (c *Cache) topicPermission(exchange string) *topicPermission {
	c.refresh()
	for i := range c.topics.used {
		if c.topics.values[i].exchange == exchange {
			return c.topics.values[i].permission
		}
	}
	p := c.control.State().topicPermission(c.who.User, c.who.VHost, exchange).forSubject(c.who)
	c.topics.add(topicAnswer{exchange, p})
	return p
}

// RestrictsAnyTopics reports whether there is an exchange for which RestrictsTopics says yes.
func (c *Cache) RestrictsAnyTopics() bool {
	c.refresh()
	return c.anyTopics
}

// RestrictsTopics reports whether CheckTopic has to be asked for each routing key of an exchange.
func (c *Cache) RestrictsTopics(exchange string) bool { return c.topicPermission(exchange) != nil }
