package router

import "slices"

// Keeper is an exchange that keeps messages: the last ones to tell them again (x-recent-history), or
// those with a delay until they are due (x-delayed-message). How, is the owner's affair. A Keeper
// lives as long as its exchange: one that is deleted and declared again has another.
type Keeper struct {
	Exchange string
	// History is how many messages the exchange tells again to a new binding; 0 if it does not.
	History int

	fingerprint uint64
}

// Kept is the exchanges on a message's way that keep it.
type Kept struct {
	// Delayed are the x-delayed-message exchanges that hold the message until it is due. It has not
	// gone on from there. When it is due, it is routed from such an exchange as if published to it,
	// with Message.Delayed left out.
	Delayed []*Keeper
	// History are the x-recent-history exchanges that the message went through.
	History []*Keeper
}

func (k *Kept) empty() bool { return len(k.Delayed)+len(k.History) == 0 }

// equal and clone take nil, which is nothing kept.
func (k *Kept) equal(other *Kept) bool {
	if k == nil || other == nil {
		return k == other
	}
	return slices.Equal(k.Delayed, other.Delayed) && slices.Equal(k.History, other.History)
}

func (k *Kept) clone() *Kept {
	if k == nil {
		return nil
	}
	return &Kept{Delayed: slices.Clone(k.Delayed), History: slices.Clone(k.History)}
}

func (k *Kept) len() int {
	if k == nil {
		return 0
	}
	return len(k.Delayed) + len(k.History)
}

// newKeeper makes the Keeper of an exchange, whose type keeps messages.
func newKeeper(e *Exchange) *Keeper {
	return &Keeper{Exchange: e.Name, History: e.History(), fingerprint: hashOf([]byte(e.Name))}
}
