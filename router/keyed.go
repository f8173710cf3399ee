package router

// defaultMatcher is the default exchange: the routing key names a queue (ROUTE-05). It shares the
// router's map and has no bindings of its own.
type defaultMatcher[Q comparable] struct {
	queues map[string]*vertex[Q]
}

func (m defaultMatcher[Q]) check(*Binding) error { return ErrDefaultExchange }
func (m defaultMatcher[Q]) add(*binding[Q])      {}
func (m defaultMatcher[Q]) remove(*binding[Q])   {}

func (m defaultMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnKey)
	m.matchKey(s, s.message.Key)
	for _, key := range s.message.ExtraKeys {
		m.matchKey(s, key)
	}
}

func (m defaultMatcher[Q]) matchKey(s *Scratch[Q], key []byte) {
	if v, ok := m.queues[string(key)]; ok {
		one := [1]target[Q]{v.self}
		s.take(one[:])
	}
}

// directMatcher matches binding keys that equal a routing key, octet by octet (7.2).
type directMatcher[Q comparable] struct {
	keys map[string]*bucket[Q]
}

func (m *directMatcher[Q]) check(*Binding) error { return nil }

func (m *directMatcher[Q]) add(b *binding[Q]) {
	k, ok := m.keys[b.declared.Key]
	if !ok {
		k = &bucket[Q]{}
		m.keys[b.declared.Key] = k
	}
	k.add(b)
}

func (m *directMatcher[Q]) remove(b *binding[Q]) {
	k := m.keys[b.declared.Key]
	k.remove(b)
	if k.empty() {
		delete(m.keys, b.declared.Key)
	}
}

func (m *directMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnKey)
	m.matchKey(s, s.message.Key)
	for _, key := range s.message.ExtraKeys {
		m.matchKey(s, key)
	}
}

func (m *directMatcher[Q]) matchKey(s *Scratch[Q], key []byte) {
	if k, ok := m.keys[string(key)]; ok {
		s.take(k.targets)
	}
}

// fanoutMatcher matches everything (7.3).
type fanoutMatcher[Q comparable] struct {
	bucket[Q]
}

func (m *fanoutMatcher[Q]) check(*Binding) error { return nil }
func (m *fanoutMatcher[Q]) match(s *Scratch[Q])  { s.take(m.targets) }
