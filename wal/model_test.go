package wal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
)

// logModel is the log as its users see it.
type logModel struct {
	bodies []string             // of record i+1
	synced int                  // so many must survive anything
	gone   map[segment.LSN]bool // by relocation
}

func (m *logModel) crash(last int) { m.bodies = m.bodies[:last] }

// TestLogBehavesAsItsModel does at random what a broker does to a log, crashes included, and compares
// it with the model after each step.
func TestLogBehavesAsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		level := rapid.SampledFrom([]Level{SyncDisk, SyncOS}).Draw(rt, "level")
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		m := machine{t: t, rt: rt, root: root, level: level}
		m.cfg = Config{Dir: m.newDir(), SegmentSize: minSegmentSize, Sync: level, Disk: unsyncedDisk()}
		m.model.gone = map[segment.LSN]bool{}
		m.open()
		defer func() { m.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":     m.append,
			"append 2":   m.append,
			"sync":       m.sync,
			"retire":     m.retire,
			"relocate":   m.relocate,
			"close":      m.reopen,
			"crash":      m.crash,
			"lose power": m.losePower,
			"":           m.check,
		})
		if err := m.log.Close(); err != nil {
			rt.Fatal(err)
		}
		m.verify()
		_ = os.RemoveAll(root)
	})
}

// machine drives a log and its model.
type machine struct {
	reader *Reader // beside the log, in the same directory
	t      *testing.T
	rt     *rapid.T
	root   string
	dirs   int
	level  Level
	cfg    Config
	log    *Log
	model  logModel
}

func (m *machine) newDir() string {
	m.dirs++
	dir := fmt.Sprintf("%s/%d", m.root, m.dirs)
	if err := os.Mkdir(dir, 0o750); err != nil {
		m.rt.Fatal(err)
	}
	return dir
}

func (m *machine) open() {
	var err error
	if m.log, err = Open(m.cfg); err != nil {
		m.rt.Fatal(err)
	}
}

func (m *machine) start() {
	if err := m.log.Start(); err != nil {
		m.rt.Fatal(err)
	}
}

// ensure starts the log if it is only open, so that reading before Start is tried as well.
func (m *machine) ensure() {
	if m.log.mu.active == nil {
		m.start()
	}
}

func (m *machine) append(rt *rapid.T) {
	m.ensure()
	var b segment.Batch
	var added []string
	for range rapid.IntRange(1, 5).Draw(rt, "records") {
		size := rapid.SampledFrom([]int{0, 1, 50, 700, 3000, 20000}).Draw(rt, "size")
		body := fmt.Sprintf("%d:%s", len(m.model.bodies)+len(added)+1, strings.Repeat("b", size))
		addPublish(&b, body, 1)
		added = append(added, body)
	}
	first := segment.LSN(len(m.model.bodies) + 1)
	if err := m.log.Append(&b, func(lsn segment.LSN) {
		if lsn != first {
			rt.Fatalf("record %d, model says %d", lsn, first)
		}
	}); err != nil {
		rt.Fatal(err)
	}
	m.model.bodies = append(m.model.bodies, added...)
}

func (m *machine) sync(rt *rapid.T) {
	m.ensure()
	if err := m.log.SyncTo(m.t.Context(), m.log.Last()); err != nil {
		rt.Fatal(err)
	}
	m.model.synced = len(m.model.bodies)
}

func (m *machine) retire(rt *rapid.T) {
	m.ensure()
	floor := segment.LSN(rapid.IntRange(0, len(m.model.bodies)+1).Draw(rt, "floor"))
	before := m.log.First()
	if err := m.log.Retire(floor); err != nil {
		rt.Fatal(err)
	}
	if first := m.log.First(); first < before || first > before && first > floor {
		rt.Fatalf("first went from %d to %d, floor is %d", before, first, floor)
	}
}

// relocate replaces some of the files that can be.
func (m *machine) relocate(rt *rapid.T) {
	m.ensure()
	m.sync(rt)
	infos := m.log.Segments()
	sealed := 0
	for sealed < len(infos) && infos[sealed].Sealed {
		sealed++
	}
	if sealed == 0 {
		return
	}
	i := rapid.IntRange(0, sealed-1).Draw(rt, "from")
	j := rapid.IntRange(i, sealed-1).Draw(rt, "to")
	n := segment.LSN(rapid.IntRange(1, 5).Draw(rt, "keep every"))
	done, err := m.log.Relocate(m.t.Context(), infos[i].Base, infos[j].Last, every(n), func() error { return nil })
	if err != nil {
		rt.Fatal(err)
	}
	left := 0
	for lsn := infos[i].Base; lsn <= infos[j].Last; lsn++ {
		if lsn%n != 0 {
			m.model.gone[lsn] = true
		}
		if !m.model.gone[lsn] {
			left++
		}
	}
	if done.Survivors != left || done.Files != j-i+1 {
		rt.Fatalf("relocated %+v, model has %d survivors in %d files", done, left, j-i+1)
	}
}

func (m *machine) reopen(rt *rapid.T) {
	started := m.log.mu.active != nil
	if err := m.log.Close(); err != nil {
		rt.Fatal(err)
	}
	m.verify()
	m.open()
	if r := m.log.Recovery(); started && (!r.Clean || int(r.Last) != len(m.model.bodies)) || len(r.Quarantined) > 0 {
		rt.Fatalf("recovery after close: %+v, model has %d", r, len(m.model.bodies))
	}
	if started {
		m.model.synced = len(m.model.bodies)
	}
}

// crash goes on with a copy of the files: the kernel still writes all it was given.
func (m *machine) crash(rt *rapid.T) {
	m.ensure()
	dir := m.newDir()
	cloneInto(m.t, m.cfg.Dir, dir)
	m.goOnIn(dir)
	if last := int(m.log.Recovery().Last); last != len(m.model.bodies) {
		rt.Fatalf("a crash of the process lost records: %d of %d", last, len(m.model.bodies))
	}
}

// losePower goes on with a copy in which what no sync covered is kept, lost or torn.
func (m *machine) losePower(rt *rapid.T) {
	m.ensure()
	dir := m.newDir()
	cloneInto(m.t, m.cfg.Dir, dir)
	// Read after copying: nothing in the copy can vouch for more.
	durable := segment.LSN(m.log.durable.Load())
	seed := rapid.Uint64().Draw(rt, "seed")
	losePower(m.t, dir, durable, rand.New(rand.NewPCG(seed, 0)))
	m.goOnIn(dir)
	last := int(m.log.Recovery().Last)
	if last < m.model.synced || last > len(m.model.bodies) {
		rt.Fatalf("recovered up to %d; %d were synced, %d written", last, m.model.synced, len(m.model.bodies))
	}
	m.model.crash(last)
}

func (m *machine) goOnIn(dir string) {
	if err := m.log.Close(); err != nil {
		m.rt.Fatal(err)
	}
	m.cfg.Dir = dir
	m.verify()
	m.open()
	if r := m.log.Recovery(); len(r.Quarantined) > 0 {
		m.rt.Fatalf("recovery took a crash for corruption: %+v", r)
	}
}

func (m *machine) verify() {
	report, err := Verify(m.cfg.Dir)
	if err != nil || report.Err() != nil {
		m.rt.Fatalf("verify: %v, %v", err, report.Err())
	}
}

func (m *machine) check(rt *rapid.T) {
	if int(m.log.Last()) != len(m.model.bodies) {
		rt.Fatalf("last is %d, model has %d", m.log.Last(), len(m.model.bodies))
	}
	if m.level == SyncDisk && int(m.log.Synced()) < m.model.synced && m.log.mu.active != nil {
		rt.Fatalf("synced is %d, was %d", m.log.Synced(), m.model.synced)
	}
	m.checkCursor(rt, m.log.Cursor(0), m.log.First())
	if m.reader == nil || m.reader.dir != m.cfg.Dir {
		var err error
		if m.reader, err = OpenReader(m.cfg.Dir); err != nil {
			rt.Fatal(err)
		}
	} else if err := m.reader.Refresh(); err != nil {
		rt.Fatal(err)
	}
	r := m.reader
	m.checkCursor(rt, r.Cursor(0), r.First())
	if r.First() != m.log.First() || r.Last() != m.log.Last() || len(r.Faults()) > 0 {
		rt.Fatalf("reader has %d to %d, faults %v; the log has %d to %d", r.First(), r.Last(), r.Faults(), m.log.First(), m.log.Last())
	}
}

func (m *machine) checkCursor(rt *rapid.T, c *Cursor, next segment.LSN) {
	defer c.Close()
	skip := func() {
		for m.model.gone[next] {
			next++
		}
	}
	for skip(); c.Next(); skip() {
		p, err := c.Record().Publish()
		if err != nil || c.Record().LSN() != next || string(p.Body) != m.model.bodies[next-1] {
			rt.Fatalf("record %d: %v", next, err)
		}
		next++
	}
	if c.Err() != nil || int(next) != len(m.model.bodies)+1 {
		rt.Fatalf("cursor ended before %d of %d: %v", next, len(m.model.bodies), c.Err())
	}
}
