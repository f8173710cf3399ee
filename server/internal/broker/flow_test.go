package broker

import (
	"testing"
	"time"
)

// A publisher that brings so many bytes every 10 ms, for so long, is then light, heavy, or neither.
func TestFlowTellsLightFromHeavyPublishers(t *testing.T) {
	const second = 100 // batches
	type part struct{ batches, bytes int }
	for _, c := range []struct {
		name         string
		parts        []part
		held         int64 // ms of each second
		light, heavy bool
	}{
		{name: "that has just begun", parts: []part{{1, 1000}}},
		{name: "little, for less than a second", parts: []part{{second, 1000}}},
		{name: "little, for more than a second", parts: []part{{second + 1, 1000}}, light: true},
		{name: "little, then nothing, then much", parts: []part{{2 * second, 1000}, {3 * second, 0}, {1, 1 << 20}}},
		{name: "little, and now much", parts: []part{{second + 1, 1000}, {1, lightRate}}},
		{name: "much at once", parts: []part{{1, heavyRate}}, heavy: true},
		{name: "much for two seconds", parts: []part{{2*second + 1, heavyRate/second + 1}}, heavy: true},
		{name: "much, now little", parts: []part{{second, heavyRate/second + 1}, {50, 1000}}, heavy: true},
		{name: "much, little for a second", parts: []part{{second, heavyRate/second + 1}, {second + 1, 1000}}, light: true},
		{name: "between the two", parts: []part{{3 * second, 3 * lightRate / second}}},
		{name: "as much, while it is held back half of the time", parts: []part{{3 * second, 5 * lightRate / second}}, held: 500, heavy: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f flow
			now := int64(1_000_000)
			for _, p := range c.parts {
				for range p.batches {
					if p.bytes > 0 {
						f.count(p.bytes, now)
						f.held = max(f.held, c.held)
					}
					now += 10
				}
			}
			if f.light() != c.light || f.heavy() != c.heavy {
				t.Errorf("light %v, heavy %v: %+v", f.light(), f.heavy(), f)
			}
		})
	}
}

func TestOnlyHeavyPublishersYieldAndOnlyWhileALightOneIsAtWork(t *testing.T) {
	b := &Broker{cfg: Config{HeavyRate: turnRate}}
	vh := &VHost{broker: b}
	light, heavy, equal := &Client{vhost: vh}, &Client{vhost: vh}, &Client{vhost: vh}
	now := int64(1_000_000)
	floods := func() { // for a second and more
		for range 101 {
			heavy.brought(heavyRate/100+1, true, now)
			equal.brought(heavyRate/100+1, true, now)
			now += 10
		}
	}
	yields := func(when string, heavily bool) {
		t.Helper()
		for name, c := range map[string]*Client{"heavy": heavy, "another": equal} {
			if c.Yields(now) != heavily {
				t.Errorf("%s: %s yields: %v", when, name, !heavily)
			}
		}
		if light.Yields(now) {
			t.Errorf("%s: light yields", when)
		}
	}
	floods()
	yields("among themselves", false)
	light.brought(100, true, now)
	yields("beside one that is new", false)
	floods()
	light.brought(100, true, now)
	yields("beside a light one", true)
	b.cfg.HeavyRate = -1
	yields("where nobody is held back", false)
	b.cfg.HeavyRate = turnRate
	now += lightMemory
	yields("when it has stopped", false)
	floods()
	light.brought(100, false, now)
	light.brought(heavyRate, false, now)
	if light.Yields(now) {
		t.Error("it yields to what it was itself a moment ago")
	}
}

func TestHeavyPublishersShareARate(t *testing.T) {
	const each = 64 << 10
	var turns turns
	now := time.Now()
	for i := range 10 {
		if wait, want := turns.take(each, now, 2*turnRate), time.Duration(i)*each*time.Second/(2*turnRate); wait != want {
			t.Errorf("turn %d comes after %v, not %v", i, wait, want)
		}
	}
	now = now.Add(time.Minute)
	if wait := turns.take(1<<30, now, 2*turnRate); wait != 0 {
		t.Errorf("a turn after nobody's comes after %v", wait)
	}
	if wait := turns.take(each, now, 2*turnRate); wait != longestTurn {
		t.Errorf("a turn after a very long one comes after %v", wait)
	}
}
