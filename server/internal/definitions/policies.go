package definitions

import (
	"errors"
	"slices"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

func (d *Definitions) readPolicies(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "policies") {
		p := policy.Policy{VHost: item.vhost(), Name: item.text("name")}
		item.unique(seen, p.VHost, p.Name)
		d.readPolicy(item, p)
	}
}

// readPolicy reads what policies have beside their names.
func (d *Definitions) readPolicy(r *record, p policy.Policy) {
	p.Pattern = r.text("pattern")
	p.ApplyTo = policy.ApplyToAll
	if to, ok := r.optionalText("apply-to"); ok {
		p.ApplyTo = policy.ApplyTo(to)
	}
	if m, ok := r.field("priority"); ok {
		if p.Priority, ok = m.value.integer(); !ok {
			m.fault("this must be a whole number")
		}
	}
	m, ok := r.required("definition")
	if !ok {
		return
	}
	p.Definition = m.table()
	if r.sound() {
		r.checkPolicy(p, m)
	}
	d.Policies = append(d.Policies, Policy{r.where(), p})
}

// checkPolicy refuses a policy that is not valid; faults of its definition are told where they stand.
func (r *record) checkPolicy(p policy.Policy, definition place) {
	faults := faultsOf(p)
	if len(faults) == 0 {
		return
	}
	told := false
	for name, m := range definition.members {
		if !policy.Known(name, p.Operator) {
			m.fault("there is no such setting of %s", policies(p.Operator))
			told = true
			continue
		}
		one := p
		one.Pattern, one.ApplyTo, one.Definition = "", "", table{name: p.Definition[name]}
		for _, fault := range faultsOf(one) {
			m.fault("%s", fault)
			told = true
		}
	}
	if told {
		p.Definition = table{"max-length": int64(0)} // the rest of it may have faults too
		faults = faultsOf(p)
	}
	for _, fault := range faults {
		r.fault("%s", fault)
	}
}

func policies(operator bool) string {
	if operator {
		return "operator policies"
	}
	return "policies"
}

func faultsOf(p policy.Policy) []string {
	var invalid *policy.Invalid
	if errors.As(p.Validate(), &invalid) {
		return invalid.Faults
	}
	return nil
}

// The components whose parameters mean something.
const (
	operatorPolicy = "operator_policy"
	vhostLimits    = "vhost-limits"
)

func (d *Definitions) readParameters(r *record) {
	seen := make(map[string]bool)
	for item := range each(r, "parameters") {
		component, vhost, name := item.text("component"), item.vhost(), item.text("name")
		item.unique(seen, component, vhost, name)
		value, ok := item.required("value")
		if !ok {
			continue
		}
		switch component {
		case operatorPolicy:
			inner := value.record()
			d.readPolicy(inner, policy.Policy{VHost: vhost, Name: name, Operator: true})
			inner.done()
		case vhostLimits:
			d.readVHostLimits(value, vhost)
		case "":
		default:
			item.fields["component"].fault("Millrace has no %s, so this parameter would have no effect; "+
				"take it out, or keep it for those brokers that have one", component)
		}
	}
}

// readVHostLimits reads the limits of a virtual host. They may stand beside its name and among the parameters;
// those that come later count.
func (d *Definitions) readVHostLimits(value place, vhost string) {
	faults := len(value.document.faults.faults)
	limits := VHostLimits{Where: value.where(), VHost: vhost, Limits: value.limits()}
	var nobody access.State
	_, err := nobody.With(access.SetVHostLimits{VHost: vhost, Limits: limits.Limits})
	if err != nil && len(value.document.faults.faults) == faults {
		value.fault("%s", errors.Unwrap(err))
	}
	d.VHostLimits = slices.DeleteFunc(d.VHostLimits, func(other VHostLimits) bool { return other.VHost == vhost })
	d.VHostLimits = append(d.VHostLimits, limits)
}
