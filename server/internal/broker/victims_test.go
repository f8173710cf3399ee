package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// logOf makes files of 10 records each from words: "100/3" is a segment of 100 bytes of which 3 are needed,
// "o20/19" one of the old generation; ! marks one that is suspected, !! one that is damaged.
func logOf(words string) (files []logFile) {
	for i, word := range strings.Fields(words) {
		f := logFile{first: segment.LSN(10*i + 1), last: segment.LSN(10*i + 10)}
		word, f.old = strings.CutPrefix(word, "o")
		f.suspicion = suspicion(strings.Count(word, "!"))
		if _, err := fmt.Sscanf(strings.TrimRight(word, "!"), "%d/%d", &f.size, &f.needed); err != nil {
			panic(err)
		}
		files = append(files, f)
	}
	return files
}

func TestChoiceOfVictims(t *testing.T) {
	t.Parallel()
	const all = ^segment.LSN(0)
	for _, c := range []struct {
		name  string
		files string
		from  segment.LSN
		below segment.LSN
		share int64
		want  string // groups as numbers of files from-to
	}{
		{name: "nothing", files: "", want: ""},
		{name: "all is needed", files: "100/90 100/26", want: ""},
		{name: "one poor file", files: "100/90 100/25 100/90", want: "1-1"},
		{name: "neighbours", files: "100/10 100/10 100/10", want: "0-2"},
		{name: "a file that is needed parts them", files: "100/10 100/40 100/10 100/0", want: "0-0 2-3"},
		{name: "no more survivors than a file holds", files: "100/25 100/25 100/25 100/25 100/25", want: "0-0 1-4"},
		{name: "only below the floor", files: "100/1 100/1 100/1", below: 21, want: "0-1"},
		{name: "not the file that the floor lies in", files: "100/1 100/1", below: 20, want: "0-0"},
		{name: "a tight disk", files: "100/50 100/51 100/50", share: poorShareTight, want: "0-0 2-2"},
		{name: "an old file that is like its newer neighbour joins", files: "o4/4 100/2", want: "0-1"},
		{name: "one that is much larger does not", files: "o20/20 100/1", want: "1-1"},
		{name: "old files grow together step by step", files: "o70/70 o20/20 100/5 100/5 100/5", want: "1-4"},
		{name: "not beyond the share of the whole", files: "o24/24 100/10", want: "1-1"},
		{name: "an old file of which little is needed", files: "100/90 o80/10 100/90", want: "1-1"},
		{name: "an old file that has nothing to give stays", files: "o4/4 o4/4", want: ""},
		{name: "little room is not worth it", files: "o30/1 100/90 o8/0", want: ""},
		{name: "what is retired is left alone", files: "100/0 o8/0 100/0 100/10 100/0", from: 31, want: "3-4"},
		{name: "not the file that it ends in", files: "100/0 100/0", from: 20, want: "1-1"},
		{name: "all is retired", files: "100/0 100/0", from: all, want: ""},
		{name: "a suspect goes alone", files: "100/1 100/1! 100/1", want: "0-0 1-1 2-2"},
		{name: "a damaged file stays", files: "100/1 100/1!! 100/1", want: "0-0 2-2"},
	} {
		choice := choice{from: c.from, below: max(c.below, 1), share: max(c.share, poorShare), target: 100, least: 50}
		if c.below == 0 {
			choice.below = all
		}
		var got []string
		for _, v := range choice.choose(logOf(c.files)) {
			got = append(got, fmt.Sprintf("%d-%d", (v.from-1)/10, (v.to-1)/10))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What is written again is bounded whatever the traffic leaves behind: the log is simulated, a file after
// another, each of which loses some of what it holds at every step.
func TestRelocationWritesLittleAgainAndGivesTheRestBack(t *testing.T) {
	t.Parallel()
	const size = 1000
	for _, remains := range []int64{0, 1, 5, 20, 100, 200, 250, 300, 900} {
		for _, pass := range []int{1, 4, 30} { // files between two passes
			var files []logFile
			appended, written, next := int64(0), int64(0), segment.LSN(1)
			worth := choice{below: ^segment.LSN(0), share: poorShare, target: size, least: size / 2}
			for i := range 3000 {
				files = append(files, logFile{first: next, last: next + 9, size: size, needed: remains})
				next, appended = next+10, appended+size
				if i%pass != 0 {
					continue
				}
				for _, v := range worth.choose(files) {
					var kept []logFile
					merged := logFile{first: v.from, last: v.to, old: true}
					for _, f := range files {
						if f.first < v.from || f.last > v.to {
							kept = append(kept, f)
							continue
						}
						merged.needed += f.needed
						if f.last == v.to {
							merged.size = merged.needed + 1
							written += merged.size
							kept = append(kept, merged)
						}
					}
					files = kept
				}
			}
			disk, needed := int64(0), int64(0)
			for _, f := range files {
				disk += f.size
				needed += f.needed
			}
			if written > appended/3+int64(len(files))*2 {
				t.Errorf("%d remain, a pass each %d files: %d written again of %d", remains, pass, written, appended)
			}
			if disk > 4*needed+int64(pass+2)*size {
				t.Errorf("%d remain, a pass each %d files: %d files of %d for %d", remains, pass, len(files), disk, needed)
			}
		}
	}
}

func TestHistoryIsKeptWhole(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000_000_000)
	const all = 1<<63 - 1
	for _, c := range []struct {
		name string
		retention
		want segment.LSN
	}{
		{"none: the newest file only", retention{most: all}, 41},
		{"less than the newest file has", retention{bytes: 100, most: all}, 41},
		{"more", retention{bytes: 101, most: all}, 31},
		{"everything", retention{bytes: 1 << 40, most: all}, 1},
		{"what is young", retention{time: 90 * time.Second, most: all}, 31},
		{"what is young, whatever the bytes", retention{time: 200 * time.Second, bytes: 101, most: all}, 11},
		{"not more than the disk has room for", retention{time: time.Hour, bytes: 1 << 40, most: 150}, 31},
		{"nothing where there is no room", retention{time: time.Hour, bytes: 1 << 40}, 41},
	} {
		files := logOf("100/0 100/0 100/0 100/0 100/0")
		for i := range files {
			files[i].newest = now.Add(time.Duration(i-4) * time.Minute)
		}
		if got := c.floor(files, now); got != c.want {
			t.Errorf("%s: from %d, want %d", c.name, got, c.want)
		}
	}
}

func TestHistoryLeavesHalfOfTheFreeDisk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		free, limit uint64
		want        int64
	}{{0, 0, 0}, {100, 0, 50}, {100, 50, 25}, {100, 100, 0}, {100, 1 << 62, 0}, {1<<64 - 1, 0, 1 << 62}} {
		if got := allowance(c.free, c.limit); got != c.want {
			t.Errorf("%d free, %d not to be touched: %d, want %d", c.free, c.limit, got, c.want)
		}
	}
}
