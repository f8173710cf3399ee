package history

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/pattern"
)

// policies are what a virtual host's policies say of exchanges, all that routing depends on.
type policies struct {
	lists [2][]policy // the users', the operators'; in the order of precedence
}

type policy struct {
	name       string
	priority   int64
	pattern    *pattern.Pattern
	definition amqp.Table
}

func (p *policies) list(operator bool) *[]policy {
	if operator {
		return &p.lists[1]
	}
	return &p.lists[0]
}

// put adds a policy, or replaces the one of the same name.
func (p *policies) put(t amqp.Table) error {
	f := fields{table: t}
	made := policy{name: f.text("name"), priority: f.number("priority"), definition: field[amqp.Table](&f, "definition")}
	source, scope, operator := f.text("pattern"), f.text("apply_to"), f.flag("operator")
	if f.err != nil {
		return f.err
	}
	p.remove(made.name, operator)
	if scope != "" && scope != "all" && scope != "exchanges" {
		return nil
	}
	var err error
	if made.pattern, err = pattern.Compile(source); err != nil {
		return fmt.Errorf("policy %q: %w: %w", made.name, segment.ErrCorrupt, err)
	}
	list := p.list(operator)
	at, _ := slices.BinarySearchFunc(*list, made, func(a, b policy) int { // POL-01
		return cmp.Or(-cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	*list = slices.Insert(*list, at, made)
	return nil
}

func (p *policies) remove(name string, operator bool) {
	list := p.list(operator)
	*list = slices.DeleteFunc(*list, func(have policy) bool { return have.name == name })
}

// exchange returns the alternate exchange that policies give an exchange, and whether they make it hold messages with a
// delay. What an operator says goes first (POL-03).
func (p *policies) exchange(name string) (alternate string, delays bool) {
	for _, list := range p.lists {
		at := slices.IndexFunc(list, func(have policy) bool { return have.pattern.Match(name) })
		if at < 0 {
			continue
		}
		if value, ok := list[at].definition["alternate-exchange"].(string); ok {
			alternate = value
		}
		if value, ok := list[at].definition["delayed-message"].(bool); ok {
			delays = value
		}
	}
	return alternate, delays
}
