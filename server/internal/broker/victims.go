package broker

import (
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Which files of the log are worth relocating, and how much of it is history that stays whole. Both are plain
// reckoning, apart from where the numbers come from.

// logFile is a sealed file of the log as the choice sees it.
type logFile struct {
	first, last segment.LSN
	size        int64 // on disk
	needed      int64 // how much of it would be left, estimated
	old         bool  // it is of the old generation
	newest      time.Time
	suspicion   suspicion
}

// suspicion is what attempts to relocate a file have shown.
type suspicion int

const (
	suspected suspicion = 1 + iota // it, or another file of its group, is damaged
	damaged
)

// victims are files next to each other, to be replaced by one of the old generation.
type victims struct {
	from, to segment.LSN
	size     int64 // of the files, in bytes
}

// choice says what is worth it.
type choice struct {
	from   segment.LSN // not files wholly below, which the next checkpoint retires
	below  segment.LSN // only files wholly below
	share  int64       // in percent: files of which no more is needed are poor
	target int64       // about how large a new file may get, in bytes
	least  int64       // so much room must be won, in bytes
}

// The share of a file that may be needed for it to be relocated: 25 % bounds what is written again by a third of
// what is given back, and so of all that is ever appended. A full disk is worth more writing.
const (
	poorShare      = 25
	poorShareTight = 50
)

// choose groups the files that are worth relocating, oldest first. Each group has a poor file; an old file that
// is not poor joins its newer neighbours when it is not much larger than what they leave, so that old files
// grow together as the levels of a merge tree do, and when no more than the share of the group is needed as a
// whole: then the bound on what is written again holds for it too.
func (c *choice) choose(files []logFile) []victims {
	first := slices.IndexFunc(files, func(f logFile) bool { return f.last >= c.from })
	if first < 0 {
		return nil
	}
	var groups []victims
	for i := len(files) - 1; i >= first; i-- {
		if files[i].last >= c.below || !c.poor(&files[i]) {
			continue
		}
		size, needed, newest := files[i].size, files[i].needed, i
		for i > first && files[newest].suspicion == 0 && c.joins(&files[i-1], size, needed) {
			i--
			size += files[i].size
			needed += files[i].needed
		}
		if size-needed >= c.least {
			groups = append(groups, victims{files[i].first, files[newest].last, size})
		}
	}
	slices.Reverse(groups)
	return groups
}

func (c *choice) poor(f *logFile) bool {
	return f.needed*100 <= f.size*c.share && f.suspicion != damaged
}

// joins reports whether a file joins a group of newer ones.
func (c *choice) joins(f *logFile, size, needed int64) bool {
	if needed+f.needed > c.target || f.suspicion != 0 {
		return false
	}
	if c.poor(f) {
		return true
	}
	const growth = 4
	little := c.target / 64
	return f.old && f.needed <= growth*max(needed, little) && (needed+f.needed)*100 <= (size+f.size)*c.share
}

// retention says how much of the log stays whole though nobody needs it.
type retention struct {
	bytes int64         // so much of its end
	time  time.Duration // and what is younger, 0 for none
	most  int64         // but no more bytes than this: what the disk has room for
}

// floor is the first record of the oldest file that is kept whole. The newest file always is.
func (r *retention) floor(files []logFile, now time.Time) segment.LSN {
	floor, behind := segment.LSN(0), int64(0)
	for i, f := range slices.Backward(files) {
		young := r.time > 0 && f.newest.After(now.Add(-r.time))
		if i < len(files)-1 && (behind >= r.bytes && !young || behind >= r.most) {
			return floor
		}
		floor = f.first
		behind += f.size
	}
	return floor
}

// allowance is how much history a disk has room for: half of what is free beyond the limit below which the log
// takes nothing any more, so that history yields long before that and never fills a disk.
func allowance(free, limit uint64) int64 {
	if free <= limit {
		return 0
	}
	return int64(min((free-limit)/2, 1<<62))
}
