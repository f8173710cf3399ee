package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/pattern"
)

// Set holds the policies of one virtual host. The zero value is empty. Put and Delete need to be alone;
// whatever only reads may be called concurrently.
type Set struct {
	user, operator []entry // in the order of precedence: the first that matches applies
}

type entry struct {
	Policy
	pattern *pattern.Pattern
}

// Put adds a policy, or replaces the one of the same name in its list. Whoever lets a new policy in calls
// Validate before; here only a pattern that does not compile is an error, and then nothing has changed.
func (s *Set) Put(p Policy) (replaced bool, err error) {
	compiled, err := pattern.Compile(p.Pattern)
	if err != nil {
		return false, fmt.Errorf("policy %q: %w", p.Name, err)
	}
	replaced = s.Delete(p.Name, p.Operator)
	list := s.list(p.Operator)
	e := entry{Policy: p, pattern: compiled}
	at, _ := slices.BinarySearchFunc(*list, e, precedence)
	*list = slices.Insert(*list, at, e)
	return replaced, nil
}

// precedence puts the highest priority first; of two alike the smallest name (POL-01).
func precedence(a, b entry) int {
	return cmp.Or(-cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
}

// Delete takes away a policy and reports whether it was there.
func (s *Set) Delete(name string, operator bool) bool {
	list := s.list(operator)
	before := len(*list)
	*list = slices.DeleteFunc(*list, func(e entry) bool { return e.Name == name })
	return len(*list) < before
}

// Policy returns a policy by its name.
func (s *Set) Policy(name string, operator bool) (Policy, bool) {
	for _, e := range *s.list(operator) {
		if e.Name == name {
			return e.Policy, true
		}
	}
	return Policy{}, false
}

// List returns the policies, or the operator policies, in the order of precedence.
func (s *Set) List(operator bool) []Policy {
	list := *s.list(operator)
	policies := make([]Policy, len(list))
	for i := range list {
		policies[i] = list[i].Policy
	}
	return policies
}

func (s *Set) list(operator bool) *[]entry {
	if operator {
		return &s.operator
	}
	return &s.user
}

// Applied tells which policies apply to an object.
type Applied struct {
	// Policy and OperatorPolicy are their names, empty if there is none.
	Policy, OperatorPolicy string
	// Definition is what both define together, nil if there is none. Read only.
	Definition amqp.Table
}

// apply finds the policies that cover an object and merges their definitions.
func (s *Set) apply(name string, covers func(*Policy) bool) Applied {
	user, operator := first(s.user, name, covers), first(s.operator, name, covers)
	switch {
	case user == nil && operator == nil:
		return Applied{}
	case operator == nil:
		return Applied{Policy: user.Name, Definition: user.Definition}
	case user == nil:
		return Applied{OperatorPolicy: operator.Name, Definition: operator.Definition}
	}
	return Applied{
		Policy: user.Name, OperatorPolicy: operator.Name,
		Definition: mergeDefinitions(user.Definition, operator.Definition),
	}
}

func first(list []entry, name string, covers func(*Policy) bool) *Policy {
	for i := range list {
		if e := &list[i]; covers(&e.Policy) && e.pattern.Match(name) {
			return &e.Policy
		}
	}
	return nil
}

// mergeDefinitions takes the least of two numbers and else the operator's value (POL-03).
func mergeDefinitions(user, operator amqp.Table) amqp.Table {
	merged := maps.Clone(user)
	if merged == nil {
		merged = amqp.Table{}
	}
	for key, value := range operator {
		if granted, ok := user[key]; ok {
			value = mergeValues(key, granted, value)
		}
		merged[key] = value
	}
	return merged
}

func mergeValues(key string, user, operator any) any {
	a, ok := amqp.Int(user)
	b, both := amqp.Int(operator)
	if !ok || !both {
		return operator
	}
	lesser := min(a, b)
	switch key {
	case keyDeliveryLimit:
		lesser = leastLimit(a, b)
	case keyConsumerTimeout:
		lesser = leastTimeout(a, b)
	}
	if lesser == a {
		return user
	}
	return operator
}
