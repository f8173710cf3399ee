package history

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Topology is what existed at a place of the log, and what its queues were called that are no more. Make it with
// NewTopology. One goroutine uses it.
type Topology struct {
	hosts     map[uint32]*vhost // that exist
	hostNames map[uint32]string // of all that were seen
	queues    map[segment.QueueID]*Queue
	byName    map[queueName][]*Queue // by age
	consumers map[segment.LSN]*Consumer
	started   Moment
	unknown   map[string]int

	at        Moment
	deleted   []*Queue // by the last record
	missed    bool     // records are missing: the next catalogue counts
	reading   bool     // a catalogue that counts
	untouched bool     // no record but catalogues has come
	unclaimed map[*Queue]struct{}
}

type queueName struct{ host, name string }

// NewTopology returns a Topology as of before the first record.
func NewTopology() *Topology {
	return &Topology{
		hosts: make(map[uint32]*vhost), hostNames: make(map[uint32]string), queues: make(map[segment.QueueID]*Queue),
		byName: make(map[queueName][]*Queue), consumers: make(map[segment.LSN]*Consumer), unknown: make(map[string]int),
		missed: true, untouched: true,
	}
}

// Apply takes notice of the next record of the log, which the log took in at t. Records that say nothing of the
// topology cost next to nothing. An error, of a record that cannot be decoded, matches segment.ErrCorrupt or is an
// *amqp.Error; what else the record said holds, and the next may be applied.
func (t *Topology) Apply(r segment.Record, when time.Time) error {
	t.deleted = t.deleted[:0]
	switch kind := r.Kind(); kind {
	case segment.KindCatalogue:
		t.at = Moment{r.LSN(), when}
		return t.catalogue(r)
	case segment.KindTopology:
		t.at = Moment{r.LSN(), when}
		t.endCatalogue()
		return t.entry(r.Payload(), r.LSN())
	default:
		if t.reading || t.untouched {
			t.at = Moment{r.LSN(), when}
			t.endCatalogue()
		}
		if name := kind.String(); name == "consumer" || name == "start" { // tables as well
			t.at = Moment{r.LSN(), when}
			return t.entry(r.Payload(), r.LSN())
		}
	}
	return nil
}

// Missed says that records were passed over. The next catalogue then tells what is, and what it does not tell of is
// gone.
func (t *Topology) Missed() { t.missed = true }

// catalogue applies the first catalogue, or one behind missed records; others repeat what is known.
func (t *Topology) catalogue(r segment.Record) error {
	if !t.missed {
		return nil
	}
	if !t.reading {
		t.reading = true
		t.unclaimed = make(map[*Queue]struct{})
		for _, q := range t.queues {
			if q.Exists() {
				t.unclaimed[q] = struct{}{}
			}
		}
		clear(t.hosts)
	}
	var faults []error
	for raw, err := range Entries(r.Payload()) {
		if err == nil {
			err = t.entry(raw, 0)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// endCatalogue is called with the first record behind a catalogue: what it did not name is gone.
func (t *Topology) endCatalogue() {
	if t.untouched {
		t.untouched, t.missed = false, t.missed && t.reading // a log that begins with another record has had nothing before
	}
	if !t.reading {
		return
	}
	t.reading, t.missed = false, false
	for q := range t.unclaimed {
		t.retire(q)
	}
	t.unclaimed = nil
}

// entry applies a change. lsn is the record's, 0 in a catalogue.
func (t *Topology) entry(raw amqp.RawTable, lsn segment.LSN) error {
	table, err := raw.Decode()
	if err != nil {
		return fmt.Errorf("topology record: %w", err)
	}
	f := fields{table: table}
	if err := t.change(&f, lsn); err != nil {
		return err
	}
	return f.err
}

func (t *Topology) change(f *fields, lsn segment.LSN) error {
	switch op := f.text("op"); op {
	case "vhost.create":
		t.createHost(f)
	case "vhost.delete":
		t.deleteHost(f.text("name"))
	case "vhost_limits.set", "user.put", "user.delete", "user_limits.set", "permission.set", "permission.clear",
		"topic_permission.set", "topic_permission.clear", "topic_permissions.clear":
	case "broker.start":
		t.started = t.at
	case "consumer.start":
		t.consumers[lsn] = f.consumer(t.at)
	default:
		host := t.hosts[uint32(f.number("vhost"))]
		if host == nil {
			if f.err != nil {
				return f.err
			}
			return nil // deleted, or told of in a record that is missing
		}
		known, err := host.change(op, f, lsn)
		if !known && op != "" {
			t.unknown[op]++
		}
		return err
	}
	return nil
}

func (t *Topology) createHost(f *fields) {
	id, name := uint32(f.number("vhost")), f.text("name")
	if f.err != nil {
		return
	}
	host := t.hosts[id]
	if host == nil {
		host = newVHost(t, id, name)
		t.hosts[id] = host
		t.hostNames[id] = name
	}
	host.defaultType, _ = f.table["default_queue_type"].(string)
}

func (t *Topology) deleteHost(name string) {
	for id, host := range t.hosts {
		if host.name != name {
			continue
		}
		for _, q := range host.all() {
			t.retire(q)
		}
		delete(t.hosts, id)
	}
}

// learn makes a queue known, or finds it if it is.
func (t *Topology) learn(q Queue) *Queue {
	if known := t.queues[q.ID]; known != nil {
		known.Deleted = Moment{}
		delete(t.unclaimed, known)
		return known
	}
	made := &q
	t.queues[q.ID] = made
	if q.Keeps == "" {
		name := queueName{q.Host, q.Name}
		t.byName[name] = append(t.byName[name], made)
	}
	return made
}

// retire notes that a queue is gone.
func (t *Topology) retire(q *Queue) {
	if q.Exists() {
		q.Deleted = t.at
		t.deleted = append(t.deleted, q)
	}
}

// Queue finds a queue by its id, one that was deleted too; nil if the log has not told of it.
func (t *Topology) Queue(id segment.QueueID) *Queue { return t.queues[id] }

// Find returns the queues of a name in a virtual host, given by its name, those that were deleted too, the oldest
// first.
func (t *Topology) Find(host, name string) []*Queue {
	return slices.SortedFunc(slices.Values(t.byName[queueName{host, name}]), func(a, b *Queue) int { return cmp.Compare(a.ID, b.ID) })
}

// Queues yields all queues that were seen, those that were deleted and exchanges' own too, in the order of their
// ids.
func (t *Topology) Queues() iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		for _, id := range slices.Sorted(maps.Keys(t.queues)) {
			if !yield(t.queues[id]) {
				return
			}
		}
	}
}

// Deleted returns the queues that the last record deleted; it holds until the next.
func (t *Topology) Deleted() []*Queue { return t.deleted }

// Consumer finds a consumer by the number of the record that told of it; nil if the log has not.
func (t *Topology) Consumer(lsn segment.LSN) *Consumer { return t.consumers[lsn] }

// Started is the last start of the broker that the log tells of.
func (t *Topology) Started() Moment { return t.started }

// Unknown are the operations that a newer millrace wrote, and how often. What they say is not known here.
func (t *Topology) Unknown() map[string]int { return maps.Clone(t.unknown) }

// VHosts yields the virtual hosts that exist, by number and name, in the order of their numbers.
func (t *Topology) VHosts() iter.Seq2[uint32, string] {
	return func(yield func(uint32, string) bool) {
		for _, id := range slices.Sorted(maps.Keys(t.hosts)) {
			if !yield(id, t.hosts[id].name) {
				return
			}
		}
	}
}

// QueueName returns what people call a queue; ok is false if it is not known.
func (t *Topology) QueueName(id segment.QueueID) (name string, ok bool) {
	if q := t.queues[id]; q != nil {
		return q.String(), true
	}
	return strconv.FormatUint(uint64(id), 10), false
}

// VHostName returns the name of a virtual host, also of one that was deleted.
func (t *Topology) VHostName(id uint32) (name string, ok bool) {
	name, ok = t.hostNames[id]
	return name, ok
}

// Router is a virtual host's router, read only; nil if there is none of that number.
func (t *Topology) Router(id uint32) *router.Router[*Queue] {
	if host := t.hosts[id]; host != nil {
		return host.router
	}
	return nil
}
