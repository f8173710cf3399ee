package tools

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/republish"
)

// plan is what a replay would send.
type plan struct {
	config  *republish.Config
	totals  archive.Totals
	groups  map[group]*planned
	letters uint64 // that are left out
}

// group is messages of one virtual host and exchange that went to the same queues.
type group struct{ host, exchange, queues string }

type planned struct {
	group
	messages, bytes uint64
}

// manyGroups bounds the lines of a plan.
const manyGroups = 1000

func newPlan(c *republish.Config) *plan { return &plan{config: c, groups: map[group]*planned{}} }

func (p *plan) add(m *archive.Message) error {
	if p.config.LeavesOut(m) {
		p.letters++
		return nil
	}
	p.totals.Add(m)
	name := group{m.VHost, m.Exchange, strings.Join(m.Queues, ", ")}
	g := p.groups[name]
	if g == nil {
		if len(p.groups) >= manyGroups {
			name.queues = "…"
			g = p.groups[name]
		}
		if g == nil {
			g = &planned{group: name}
			p.groups[name] = g
		}
	}
	g.messages++
	g.bytes += uint64(len(m.Body))
	return nil
}

// sorted is the groups, the largest first.
func (p *plan) sorted() []*planned {
	return slices.SortedFunc(maps.Values(p.groups), func(a, b *planned) int {
		return cmp.Or(cmp.Compare(b.messages, a.messages), strings.Compare(a.host, b.host),
			strings.Compare(a.exchange, b.exchange), strings.Compare(a.queues, b.queues))
	})
}

// plannedGroup is a line of --dry-run --json; the last is a plannedTotal.
type plannedGroup struct {
	VHost     string   `json:"vhost"`
	Exchange  string   `json:"exchange"`
	Queues    []string `json:"queues"`
	Messages  uint64   `json:"messages"`
	BodyBytes uint64   `json:"body_bytes"`
}

type plannedTotal struct {
	Target  string `json:"target"`
	Letters uint64 `json:"dead_letters_left_out,omitempty"`
	contained
	Seconds *float64 `json:"seconds,omitempty"` // that it would take; absent: that depends on the broker
}

func (p *plan) tell(out io.Writer, d *delivery) error {
	takes, known := p.takes(d.config.Pace)
	if d.asJSON {
		encoder := render.NewEncoder(out)
		for _, g := range p.sorted() {
			line := plannedGroup{VHost: g.host, Exchange: g.exchange, Queues: []string{}, Messages: g.messages, BodyBytes: g.bytes}
			if g.queues != "" {
				line.Queues = strings.Split(g.queues, ", ")
			}
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
		total := plannedTotal{Target: d.target(), Letters: p.letters, contained: summarised("", p.totals)}
		if seconds := takes.Seconds(); known {
			total.Seconds = &seconds
		}
		return encoder.Encode(total)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "messages\tbytes\tvhost\texchange\tqueues")
	for _, g := range p.sorted() {
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\n", g.messages, g.bytes, g.host, named(g.exchange), g.queues)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s\nto %s\n", totalled(p.totals), d.target()); err != nil {
		return err
	}
	if err := tellLetters(out, p.letters); err != nil || !known {
		return err
	}
	_, err := fmt.Fprintf(out, "it would take %v; --speed, --rate and --flat-out change that\n", takes.Round(time.Millisecond))
	return err
}

// takes is how long a replay takes at a pace, if it does not depend on the broker.
func (p *plan) takes(pace republish.Pace) (time.Duration, bool) {
	n := p.totals.Messages
	switch {
	case pace.Rate > 0 && n > 0:
		return time.Duration(float64(n-1) / pace.Rate * float64(time.Second)), true
	case pace.Speed > 0 && !p.totals.From.IsZero():
		return time.Duration(float64(p.totals.To.Sub(p.totals.From)) / pace.Speed), true
	}
	return 0, false
}
