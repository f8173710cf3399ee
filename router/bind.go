package router

// CheckBind tells whether Bind would succeed, and whether the binding is there already.
func (r *Router[Q]) CheckBind(b Binding) (exists bool, err error) {
	x, _, err := r.ends(&b)
	if err != nil {
		return false, err
	}
	if _, ok := x.bindings[b.identity()]; ok {
		return true, nil
	}
	return false, x.matcher.check(&b)
}

// Bind adds a binding; one that is there already is left alone (EXCH-20). A missing source is
// reported before a missing destination (EXCH-21).
func (r *Router[Q]) Bind(b Binding) (added bool, err error) {
	x, destination, err := r.ends(&b)
	if err != nil {
		return false, err
	}
	id := b.identity()
	if _, ok := x.bindings[id]; ok {
		return false, nil
	}
	if err := x.matcher.check(&b); err != nil {
		return false, err
	}
	made := &binding[Q]{declared: b, identity: id, source: x, destination: destination}
	x.bindings[id] = made
	destination.attach(made)
	x.matcher.add(made)
	r.changed()
	return true, nil
}

// ends finds what a binding would join.
func (r *Router[Q]) ends(b *Binding) (*exchange[Q], *vertex[Q], error) {
	if b.touchesDefault() {
		return nil, nil, ErrDefaultExchange
	}
	x, err := r.find(b.Source)
	if err != nil {
		return nil, nil, err
	}
	if b.DestinationKind == ToExchange {
		destination, err := r.find(b.Destination)
		if err != nil {
			return nil, nil, err
		}
		return x, &destination.vertex, nil
	}
	destination, ok := r.queues[b.Destination]
	if !ok {
		return nil, nil, NoQueue{Name: b.Destination}
	}
	return x, destination, nil
}

// HasBinding tells whether the very binding is there.
func (r *Router[Q]) HasBinding(b Binding) bool {
	x, ok := r.exchanges[b.Source]
	return ok && x.bindings[b.identity()] != nil
}

// Unbind removes a binding, and the source with it when that was an auto-delete exchange's last. A
// binding that is not there, or whose ends are not, is no error (EXCH-22): nothing is removed.
func (r *Router[Q]) Unbind(b Binding) (Removed, error) {
	if b.touchesDefault() {
		return Removed{}, ErrDefaultExchange
	}
	x, ok := r.exchanges[b.Source]
	if !ok {
		return Removed{}, nil
	}
	found, ok := x.bindings[b.identity()]
	if !ok {
		return Removed{}, nil
	}
	var out removal[Q]
	r.removeBinding(found, &out)
	r.changed()
	return out.report(0), nil
}
