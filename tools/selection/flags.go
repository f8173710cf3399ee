package selection

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/segment"
)

// Selection is what the flags say. The zero value asks for everything.
type Selection struct {
	Since    string   // a duration before now
	From, To string   // numbers or times
	Kinds    []string // names of kinds; none is all
	VHosts   []string // names: any of them suffices, as with all lists but Headers
	Exchange []string
	Queues   []string
	Keys     []string // patterns of a topic exchange
	Headers  []string // name=value or name: all must hold
	Body     string   // text that it contains
	BodyLike string   // a regular expression
	Where    string   // an expression
	Limit    uint64   // 0 is none
}

// Flags registers the flags of a selection and returns where their values will be.
func Flags(flags *pflag.FlagSet) *Selection {
	s := new(Selection)
	flags.StringVar(&s.Since, "since", "", "records that the log took in no longer ago than this `duration`: 90s, 10m, 6h, 2d")
	flags.StringVar(&s.From, "from", "", "the first record: its number (`LSN`), or a time as in 2026-01-02T15:04:05.123Z")
	flags.StringVar(&s.To, "to", "", "the last record: its number (`LSN`), or a time; that moment is included")
	flags.StringSliceVar(&s.Kinds, "kind", nil, "only records of these `kinds`: "+strings.Join(Kinds(), ", "))
	flags.StringArrayVar(&s.VHosts, "vhost", nil, "only what belongs to the virtual host of this `name` (repeatable)")
	flags.StringArrayVar(&s.Exchange, "exchange", nil, "only messages published to the exchange of this `name`; '' is the default exchange (repeatable)")
	flags.StringArrayVar(&s.Queues, "queue", nil, "only what concerns the queue of this `name`: messages routed to it, settlements in it, its consumers (repeatable)")
	flags.StringArrayVar(&s.Keys, "key", nil, "only messages whose routing key matches this `pattern`, as in a topic exchange: * is a word, # any number of them (repeatable)")
	flags.StringArrayVar(&s.Headers, "header", nil, "only messages with this header: `name=value`, or name for one that is there with any value (repeatable, all must hold)")
	flags.StringVar(&s.Body, "body", "", "only messages whose body contains this `text`, as it was published")
	flags.StringVar(&s.BodyLike, "body-regexp", "", "only messages whose body matches this regular `expression` of Go")
	flags.StringVar(&s.Where, "where", "", "only records for which this `expression` holds, as in: size > 1000 && headers[\"tenant\"] == \"acme\"")
	flags.Uint64Var(&s.Limit, "limit", 0, "no more than this `many` records")
	return s
}

// kinds are those that can be asked for, in the order of their numbers.
var kinds = []segment.Kind{
	segment.KindPublish, segment.KindSettle, segment.KindHorizon, segment.KindTopology, segment.KindCatalogue, segment.KindRouteSet,
	segment.KindConsumer, segment.KindStart,
}

// Kinds lists the names that --kind knows.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return names
}

// bounds is where a selection begins and ends: by number or by time.
type bounds struct {
	from, to         segment.LSN // 0: not by number
	fromTime, toTime time.Time   // zero: not by time
}

func (s *Selection) bounds(now time.Time) (b bounds, err error) {
	if s.Since != "" {
		if s.From != "" {
			return b, fmt.Errorf("--since and --from both say where to begin; give one of them")
		}
		ago, err := duration(s.Since)
		if err != nil {
			return b, err
		}
		b.fromTime = now.Add(-ago)
	}
	if s.From != "" {
		if b.from, b.fromTime, err = Place("--from", s.From); err != nil {
			return b, err
		}
	}
	if s.To != "" {
		if b.to, b.toTime, err = Place("--to", s.To); err != nil {
			return b, err
		}
	}
	if b.from != 0 && b.to != 0 && b.from > b.to || !b.fromTime.IsZero() && !b.toTime.IsZero() && b.fromTime.After(b.toTime) {
		return b, fmt.Errorf("--to %s is before the beginning", s.To)
	}
	return b, nil
}

// Place reads what a flag says: a record's number, or a time, in which case the number is 0.
func Place(flag, text string) (segment.LSN, time.Time, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		if n == 0 {
			return 0, time.Time{}, fmt.Errorf("%s 0: the first record of a log is 1", flag)
		}
		return segment.LSN(n), time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("%s %q is neither the number of a record nor a time as in 2026-01-02T15:04:05.123Z", flag, text)
	}
	return 0, t, nil
}

// duration reads a duration of Go, or a number of days.
func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		if n, err = strconv.ParseFloat(days, 64); err == nil && math.Abs(n) < 100_000 {
			d = time.Duration(n * 24 * float64(time.Hour))
		} else {
			d = -1
		}
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--since %q is no duration as in 90s, 10m, 6h or 2d", text)
	}
	return d, nil
}

// kindSet reads the names of kinds.
func (s *Selection) kindSet() (set [256]bool, err error) {
	for _, name := range s.Kinds {
		found := false
		for _, k := range kinds {
			if k.String() == name {
				set[k], found = true, true
			}
		}
		if !found {
			return set, fmt.Errorf("--kind %q: there are %s", name, strings.Join(Kinds(), ", "))
		}
	}
	return set, nil
}
