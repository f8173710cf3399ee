package router

import (
	"bytes"
	"strings"
)

// topicMatcher keeps patterns in a trie of their words.
//
// A key is matched by walking the trie with the set of nodes that the words so far can have led to.
// A node is in the set at most once, and a node under '#' stays in it for the rest of the key; so the
// work is at most words × nodes however many '#' the patterns have (TOPIC-05). Trying the ways to
// stretch each '#' one after the other, as the obvious recursion does, takes time exponential in
// their number.
type topicMatcher[Q comparable] struct {
	root topicNode[Q]
	ids  *idPool
}

// topicNode is a place in the trie: the patterns that begin with the words on the way to it.
type topicNode[Q comparable] struct {
	bucket[Q] // the patterns that end here
	words     map[string]*topicNode[Q]
	star      *topicNode[Q]
	hash      *topicNode[Q]
	id        uint32 // of a hash node: what marks it as active
}

func newTopicMatcher[Q comparable](ids *idPool) *topicMatcher[Q] {
	return &topicMatcher[Q]{ids: ids}
}

// topicScratch is the state set.
type topicScratch[Q comparable] struct {
	now, next []*topicNode[Q] // nodes reached with exactly the words so far
	hashes    []*topicNode[Q] // '#' nodes with something behind them, active from now on
	round     uint64          // marks a '#' node as active for the key at work
}

func (m *topicMatcher[Q]) check(*Binding) error { return nil }

func (m *topicMatcher[Q]) add(b *binding[Q]) {
	at := &m.root
	for word := range patternWords(b.declared.Key) {
		at = m.child(at, word)
	}
	at.bucket.add(b)
}

// child finds or makes the node one word further.
func (m *topicMatcher[Q]) child(at *topicNode[Q], word string) *topicNode[Q] {
	switch word {
	case "*":
		if at.star == nil {
			at.star = &topicNode[Q]{}
		}
		return at.star
	case "#":
		if at.hash == nil {
			at.hash = &topicNode[Q]{id: m.ids.take()}
		}
		return at.hash
	}
	found, ok := at.words[word]
	if !ok {
		if at.words == nil {
			at.words = make(map[string]*topicNode[Q])
		}
		found = &topicNode[Q]{}
		// Cloned, or the trie would hold the whole key for one word.
		at.words[strings.Clone(word)] = found
	}
	return found
}

func (m *topicMatcher[Q]) remove(b *binding[Q]) {
	var words []string
	for word := range patternWords(b.declared.Key) {
		words = append(words, word)
	}
	m.removeBelow(&m.root, words, b)
}

// removeBelow removes b, which ends the given words below at, and prunes what has become useless.
func (m *topicMatcher[Q]) removeBelow(at *topicNode[Q], words []string, b *binding[Q]) {
	if len(words) == 0 {
		at.bucket.remove(b)
		return
	}
	child := m.child(at, words[0])
	m.removeBelow(child, words[1:], b)
	if !child.useless() {
		return
	}
	switch words[0] {
	case "*":
		at.star = nil
	case "#":
		at.hash = nil
		m.ids.give(child.id)
	default:
		delete(at.words, words[0])
	}
}

func (n *topicNode[Q]) useless() bool { return n.empty() && n.leaf() }

func (n *topicNode[Q]) leaf() bool { return len(n.words) == 0 && n.star == nil && n.hash == nil }

func (m *topicMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnKey)
	m.matchKey(s, s.message.Key)
	for _, key := range s.message.ExtraKeys {
		m.matchKey(s, key)
	}
}

func (m *topicMatcher[Q]) matchKey(s *Scratch[Q], key []byte) {
	w := &s.words
	s.round++
	w.round = s.round
	w.now, w.next, w.hashes = w.now[:0], w.next[:0], w.hashes[:0]
	s.enter(&m.root)
	w.now, w.next = w.next, w.now

	for more := len(key) > 0; more; { // the empty key has no words (TOPIC-01)
		word := key
		if dot := bytes.IndexByte(key, '.'); dot >= 0 {
			word, key = key[:dot], key[dot+1:]
		} else {
			more = false
		}
		w.next = w.next[:0]
		// A '#' node entered by this word is active from the next one on.
		active := len(w.hashes)
		for _, n := range w.now {
			s.step(n, word)
		}
		for _, n := range w.hashes[:active] {
			s.step(n, word)
		}
		w.now, w.next = w.next, w.now
	}
	for _, n := range w.now {
		s.take(n.targets)
	}
	// The nodes are left in place beyond the length: they belong to the router, and an exchange that
	// is deleted is released when the Scratch is used next. Clearing would cost every message.
}

// step moves on from n by one word. The word is taken as it is: '*' and '#' mean nothing in a key
// (TOPIC-04), and no literal child is called so.
func (s *Scratch[Q]) step(n *topicNode[Q], word []byte) {
	if n.star != nil {
		s.enter(n.star)
	}
	if child, ok := n.words[string(word)]; ok {
		s.enter(child)
	}
}

// enter puts a node that is not a '#' node into the set. Its parent is in the set once, so it is
// entered once a word.
func (s *Scratch[Q]) enter(n *topicNode[Q]) {
	s.words.next = append(s.words.next, n)
	// '#' stands for zero words too, so what is behind it is reached at once (TOPIC-03); and again
	// if '#' follows '#'.
	for h := n.hash; h != nil; h = h.hash {
		if s.marks[h.id] == s.words.round {
			return // then all behind it are active as well
		}
		s.marks[h.id] = s.words.round
		// A pattern that ends in '#' matches whatever follows.
		s.take(h.targets)
		if !h.leaf() {
			s.words.hashes = append(s.words.hashes, h)
		}
	}
}

// patternWords splits a binding key; the empty pattern has no words (TOPIC-01).
func patternWords(key string) func(yield func(string) bool) {
	if key == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(key, ".")
}
