package client

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestConfirmsRefuseWhatDoesNotWait(t *testing.T) {
	tests := []struct {
		name     string
		tag      uint64
		multiple bool
	}{
		{"not sent", 9, false},
		{"not sent, multiple", 9, true},
		{"settled", 2, false},
		{"settled early", 5, false},
		{"none", 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := NewConfirms(8)
			settle(t, &c, 3, true)
			settle(t, &c, 5, false)
			if err := c.Settle(test.tag, test.multiple, 8); err == nil {
				t.Error("taken")
			}
		})
	}
}

func settle(t *testing.T, c *Confirms, tag uint64, multiple bool) {
	t.Helper()
	if err := c.Settle(tag, multiple, 8); err != nil {
		t.Fatal(err)
	}
}

func TestConfirmOfTagZeroSettlesAll(t *testing.T) {
	c := NewConfirms(8)
	settle(t, &c, 0, true)
	if c.Floor() != 8 {
		t.Errorf("floor %d, want 8", c.Floor())
	}
}

// TestConfirmsAgreeWithModel settles publishes at random; a set of numbers says what must come out.
func TestConfirmsAgreeWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 130).Draw(t, "window")
		total := uint64(rapid.IntRange(1, 400).Draw(t, "total"))
		c := NewConfirms(window)
		var told []uint64
		c.Each = func(publish uint64) { told = append(told, publish) }
		open := map[uint64]bool{}
		for sent := uint64(0); sent < total || len(open) > 0; {
			for sent < total && sent-c.Floor() < uint64(window) && rapid.Bool().Draw(t, "send") {
				sent++
				open[sent] = true
			}
			if len(open) == 0 {
				continue
			}
			tags := make([]uint64, 0, len(open))
			for tag := range open {
				tags = append(tags, tag)
			}
			slices.Sort(tags)
			tag, multiple := rapid.SampledFrom(tags).Draw(t, "tag"), rapid.Bool().Draw(t, "multiple")
			if err := c.Settle(tag, multiple, sent); err != nil {
				t.Fatal(err)
			}
			for _, other := range tags {
				if other == tag || multiple && other < tag {
					delete(open, other)
				}
			}
			lowest := sent + 1
			for tag := range open {
				lowest = min(lowest, tag)
			}
			if c.Floor() != lowest-1 {
				t.Fatalf("floor %d, want %d", c.Floor(), lowest-1)
			}
		}
		slices.Sort(told)
		for i, publish := range told {
			if publish != uint64(i)+1 {
				t.Fatalf("publishes told: %v", told)
			}
		}
		if uint64(len(told)) != total {
			t.Fatalf("%d of %d publishes told", len(told), total)
		}
	})
}
