package policy

import (
	"fmt"
	"strings"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/pattern"
)

// ApplyTo says what a policy is for; the empty string is ApplyToAll (POL-02).
type ApplyTo string

// What policies can be for.
const (
	ApplyToAll           ApplyTo = "all"
	ApplyToQueues        ApplyTo = "queues"
	ApplyToExchanges     ApplyTo = "exchanges"
	ApplyToClassicQueues ApplyTo = "classic_queues"
	ApplyToQuorumQueues  ApplyTo = "quorum_queues"
	ApplyToStreams       ApplyTo = "streams"
)

func (a ApplyTo) valid() bool {
	switch a {
	case "", ApplyToAll, ApplyToQueues, ApplyToExchanges, ApplyToClassicQueues, ApplyToQuorumQueues, ApplyToStreams:
		return true
	}
	return false
}

func (a ApplyTo) exchanges() bool { return a == "" || a == ApplyToAll || a == ApplyToExchanges }

func (a ApplyTo) queues(t Type) bool {
	switch a {
	case "", ApplyToAll, ApplyToQueues:
		return true
	case ApplyToClassicQueues:
		return t == Classic
	case ApplyToQuorumQueues:
		return t == Quorum
	case ApplyToStreams:
		return t == Stream
	}
	return false
}

// Policy gives settings to all objects of a virtual host whose names match. Immutable once it is in a Set.
type Policy struct {
	VHost, Name string
	// Pattern is a regular expression that may match anywhere in an object's name. Its dialect is Go's: see
	// the package's words on patterns.
	Pattern  string
	ApplyTo  ApplyTo
	Priority int64
	// Definition holds the values by key. Whole numbers must be integers, of any width.
	Definition amqp.Table
	// Operator policies are a list of their own, with fewer keys, and limit what the others grant.
	Operator bool
}

// Invalid says what is wrong with a policy, in the words of the management API.
type Invalid struct{ Faults []string }

func (e *Invalid) Error() string {
	return "Validation failed\n\n" + strings.Join(e.Faults, "\n") + "\n"
}

// Validate returns an *Invalid with all that is wrong, or nil. Policies that come back from the log need not
// pass: what was valid once may be so no more.
func (p Policy) Validate() error {
	var faults []string
	if _, err := pattern.Compile(p.Pattern); err != nil {
		faults = append(faults, "pattern should be regular expression but is invalid: "+router.StringTerm(err.Error()))
	}
	if !p.ApplyTo.valid() {
		faults = append(faults, fmt.Sprintf("apply-to '%s' unrecognised; should be one of: 'queues', 'classic_queues',  "+
			"'quorum_queues', 'streams', 'exchanges', or 'all'", p.ApplyTo))
	}
	if fault := invalidDefinition(p.Definition, p.Operator); fault != "" {
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return &Invalid{Faults: faults}
	}
	return nil
}

// Table returns the policy as a field table, for a record of the log. The virtual host is not in it.
func (p Policy) Table() amqp.Table {
	return amqp.Table{
		"name": p.Name, "pattern": p.Pattern, "apply_to": string(p.ApplyTo), "priority": p.Priority,
		"definition": p.Definition, "operator": p.Operator,
	}
}

// FromTable reads back what Table returned. Fields that it does not know are left alone.
func FromTable(vhost string, t amqp.Table) (Policy, error) {
	p := Policy{VHost: vhost}
	var ok [6]bool
	var applyTo string
	p.Name, ok[0] = t["name"].(string)
	p.Pattern, ok[1] = t["pattern"].(string)
	applyTo, ok[2] = t["apply_to"].(string)
	p.Priority, ok[3] = amqp.Int(t["priority"])
	p.Definition, ok[4] = t["definition"].(amqp.Table)
	p.Operator, ok[5] = t["operator"].(bool)
	for i, field := range []string{"name", "pattern", "apply_to", "priority", "definition", "operator"} {
		if !ok[i] {
			return Policy{}, fmt.Errorf("policy %q: field %q is missing or of a wrong type", p.Name, field)
		}
	}
	p.ApplyTo = ApplyTo(applyTo)
	return p, nil
}
