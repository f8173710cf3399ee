package definitions

import (
	"errors"
	"maps"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

func (d *Definitions) readTopology(r *record) {
	d.readExchanges(r)
	d.readQueues(r)
	d.readBindings(r)
}

func (d *Definitions) readExchanges(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "exchanges") {
		x := Exchange{
			Where: item.where(), VHost: item.vhost(), Name: item.name("name"), Type: item.text("type"),
			Durable: item.flag("durable", true), AutoDelete: item.flag("auto_delete", false), Internal: item.flag("internal", false),
			Arguments: item.arguments("arguments"),
		}
		item.known("policy", "user_who_performed_action")
		if m, ok := item.fields["name"]; ok && x.Name == "" && m.value.kind == text {
			m.fault("the default exchange is always there; leave it out")
		}
		item.unique(seen, x.VHost, x.Name)
		d.Exchanges = append(d.Exchanges, x)
	}
}

func (d *Definitions) readQueues(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "queues") {
		q := Queue{
			Where: item.where(), VHost: item.vhost(), Name: item.name("name"), Durable: item.flag("durable", true),
			AutoDelete: item.flag("auto_delete", false), Arguments: item.arguments("arguments"),
		}
		item.known("policy", "user_who_performed_action")
		if m, ok := item.fields["name"]; ok && q.Name == "" && m.value.kind == text {
			m.fault("a queue of a file needs a name")
		}
		if t, ok := item.optionalText("type"); ok && t != policy.Classic.String() { // that of RabbitMQ 4, beside the argument
			if _, given := q.Arguments[queueType]; !given {
				q.Arguments[queueType] = t
			}
		}
		if item.flag("exclusive", false) {
			item.fields["exclusive"].fault("an exclusive queue belongs to a connection; a file cannot make one")
		}
		item.unique(seen, q.VHost, q.Name)
		if item.sound() {
			item.checkQueue(&q, d.defaultTypes(q.VHost))
		}
		d.Queues = append(d.Queues, q)
	}
}

const queueType = "x-queue-type"

// defaultTypes are the types that queues of a virtual host may have without asking for one, as far as the file
// tells: what it leaves open the broker may know.
func (d *Definitions) defaultTypes(vhost string) []policy.Type {
	for i := range d.VHosts {
		if v := &d.VHosts[i]; v.Name == vhost && v.DefaultQueueType != nil {
			t, _ := policy.ParseType(*v.DefaultQueueType)
			return []policy.Type{t}
		}
	}
	return []policy.Type{policy.Classic, policy.Quorum}
}

// checkQueue refuses what queue.declare would refuse for all of the types. A fault of an argument is told where
// that stands, and the others are looked at without it.
func (r *record) checkQueue(q *Queue, types []policy.Type) {
	facts := policy.Queue{VHost: q.VHost, Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete}
	for _, t := range types {
		facts.DefaultType = t
		if _, err := policy.ParseQueue(facts, q.Arguments); err == nil {
			return
		}
	}
	facts.DefaultType = types[0]
	arguments := maps.Clone(q.Arguments)
	for {
		_, err := policy.ParseQueue(facts, arguments)
		var refused *amqp.Error
		if !errors.As(err, &refused) {
			return
		}
		name := firstNamed(refused.Text, arguments)
		where := r.where()
		if m, ok := r.fields["arguments"]; ok && name != "" {
			for at, place := range m.members {
				if at == name {
					where = place.where()
				}
			}
		}
		r.document.faults.Add(where, "%s", refused.Text)
		if name == "" || name == queueType {
			return // without its type, a queue has other faults than it has
		}
		delete(arguments, name)
	}
}

// firstNamed returns the argument that a text names first; of those that begin alike, the longest.
func firstNamed(text string, arguments table) string {
	first, at := "", len(text)
	for name := range arguments {
		if i := strings.Index(text, name); i >= 0 && (i < at || i == at && len(name) > len(first)) {
			first, at = name, i
		}
	}
	return first
}

func (d *Definitions) readBindings(r *record) {
	for item := range each(r, "bindings") {
		b := Binding{
			Where: item.where(), VHost: item.vhost(), Source: item.name("source"), Destination: item.name("destination"),
			RoutingKey: item.name("routing_key"), Arguments: item.arguments("arguments"),
		}
		item.known("properties_key")
		switch kind := item.text("destination_type"); kind {
		case "exchange":
			b.ToExchange = true
		case "queue", "":
		default:
			item.fields["destination_type"].fault("%q is neither queue nor exchange", kind)
		}
		if m, ok := item.fields["source"]; ok && b.Source == "" && m.value.kind == text {
			m.fault("the default exchange has its bindings by itself; leave this out")
		}
		d.Bindings = append(d.Bindings, b)
	}
}
