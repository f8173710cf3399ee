package queue

import "testing"

// While the disk is full nobody takes the starts, and clients may come and go for ever.
func TestStartsAreBoundedByWhoIsThere(t *testing.T) {
	var a Agenda
	q := &Queue{}
	there := &Taker{Queue: q, Channel: &Channel{}, Consumer: &Consumer{queue: q}}
	a.start(there)
	for range 10_000 {
		a.start(&Taker{Queue: q, Channel: &Channel{}, Consumer: &Consumer{}}) // cancelled
		ch := &Channel{}
		a.start(&Taker{Queue: q, Channel: ch}) // by basic.get
		ch.Close()
	}
	if len(a.starts) > 256 {
		t.Errorf("%d takers are kept in memory, one is there", len(a.starts))
	}
	if starts := a.TakeStarts(nil, len(a.starts)); len(starts) != 1 || starts[0] != there {
		t.Errorf("%d starts are for the log", len(starts))
	}
}

// Those that are gone do not count: nobody would ask again for who stands behind a portion of them.
func TestStartsBehindOthersThatAreGoneAreTaken(t *testing.T) {
	var a Agenda
	q := &Queue{}
	for range 10 {
		a.start(&Taker{Queue: q, Channel: &Channel{}, Consumer: &Consumer{}})
	}
	a.start(&Taker{Queue: q, Channel: &Channel{}, Consumer: &Consumer{queue: q}})
	if n := len(a.TakeStarts(nil, 5)); n != 1 || a.HasJournal() {
		t.Errorf("%d starts are for the log, and more: %t", n, a.HasJournal())
	}
}
