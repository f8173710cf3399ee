package queue

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// somewhere marks a delivery as not settled.
var somewhere = &Queue{}

func (d *deque) settleForTest(tag Tag) bool {
	u := d.find(tag)
	if u == nil {
		return false
	}
	u.queue = nil
	d.live--
	d.trim()
	return true
}

func (d *deque) tagsForTest() []Tag {
	var tags []Tag
	for i := range d.len() {
		if u := d.at(i); u.queue != nil {
			tags = append(tags, u.tag)
		}
	}
	return tags
}

func TestDequeFindsWhatIsUnsettled(t *testing.T) {
	var d deque
	if d.find(1) != nil || d.find(0) != nil {
		t.Error("found something in an empty deque")
	}
	for _, tag := range []Tag{3, 4, 5, 9, 10, 1000} {
		d.push(unsettled{tag: tag, queue: somewhere})
	}
	for tag := range Tag(1100) {
		u := d.find(tag)
		if held := slices.Contains([]Tag{3, 4, 5, 9, 10, 1000}, tag); held != (u != nil) || held && u.tag != tag {
			t.Errorf("find(%d) = %+v", tag, u)
		}
	}
	d.settleForTest(9)
	if d.find(9) != nil {
		t.Error("found what is settled")
	}
	if d.find(10) == nil || d.find(5) == nil {
		t.Error("lost a neighbour")
	}
}

func TestDequeGivesBackABurst(t *testing.T) {
	var d deque
	for tag := range Tag(3 * keepRing) {
		d.push(unsettled{tag: tag + 1, queue: somewhere})
	}
	for tag := range Tag(3 * keepRing) {
		if !d.settleForTest(tag + 1) {
			t.Fatalf("tag %d is lost", tag+1)
		}
	}
	if d.len() != 0 || d.live != 0 || len(d.ring) > keepRing {
		t.Errorf("%d entries, %d live, ring of %d", d.len(), d.live, len(d.ring))
	}
	d.push(unsettled{tag: 1 << 40, queue: somewhere})
	if d.find(1<<40) == nil {
		t.Error("unusable after a burst")
	}
}

func TestDequeDoesNotGrowBehindOneThatIsNeverSettled(t *testing.T) {
	var d deque
	d.push(unsettled{tag: 1, queue: somewhere}) // a client may sit on a message for days
	for tag := Tag(2); tag < 100_000; tag++ {
		d.push(unsettled{tag: tag, queue: somewhere})
		if !d.settleForTest(tag) {
			t.Fatalf("tag %d is lost", tag)
		}
	}
	if len(d.ring) > keepRing {
		t.Errorf("one unsettled delivery keeps a ring of %d", len(d.ring))
	}
	if got := d.tagsForTest(); !slices.Equal(got, []Tag{1}) {
		t.Errorf("unsettled %v, want only 1", got)
	}
}

func TestDequeAgainstASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deque
		var model []Tag
		last := Tag(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					last += Tag(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 50}).Draw(t, "gap"))
					d.push(unsettled{tag: last, queue: somewhere})
					model = append(model, last)
				}
			},
			"settle": func(t *rapid.T) {
				tag := Tag(rapid.Uint64Range(0, uint64(last)+2).Draw(t, "tag"))
				if len(model) > 0 && rapid.Bool().Draw(t, "known") {
					tag = rapid.SampledFrom(model).Draw(t, "held")
				}
				i, held := slices.BinarySearch(model, tag)
				if d.settleForTest(tag) != held {
					t.Fatalf("settling %d of %v: want %v", tag, model, held)
				}
				if held {
					model = slices.Delete(model, i, i+1)
				}
			},
			"settle the oldest": func(t *rapid.T) {
				n := rapid.IntRange(0, len(model)).Draw(t, "n")
				for _, tag := range model[:n] {
					d.settleForTest(tag)
				}
				model = slices.Delete(model, 0, n)
			},
			"": func(t *rapid.T) {
				if got := d.tagsForTest(); !slices.Equal(got, model) {
					t.Fatalf("deque %v, model %v", got, model)
				}
				if d.live != len(model) || len(model) == 0 && d.len() != 0 {
					t.Fatalf("%d live of %d, model %d", d.live, d.len(), len(model))
				}
			},
		})
	})
}
