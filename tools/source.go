package tools

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/selection"
)

// source is where messages come from that are sent or stored elsewhere.
type source interface {
	// each calls fn for each message that is asked for, in order, until it returns an error; what fn is given holds until
	// it returns. It may be called several times, and begins anew each time.
	each(ctx context.Context, fn func(*archive.Message) error) error
	// skip leaves out messages up to a record, of which so many were asked for: they have been dealt with.
	skip(to segment.LSN, messages uint64)
	// String says where messages come from.
	String() string
	// finish tells what was wrong with the source, and returns what the command has to.
	finish() error
}

// asked words a selection: the flags that were given, as they would be typed.
func asked(flags *pflag.FlagSet, also ...string) string {
	known := pflag.NewFlagSet("", pflag.ContinueOnError)
	selection.Flags(known)
	var words []string
	flags.Visit(func(f *pflag.Flag) {
		if known.Lookup(f.Name) == nil && !slices.Contains(also, f.Name) {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, value := range list.GetSlice() {
				words = append(words, "--"+f.Name, quoted(value))
			}
			return
		}
		words = append(words, "--"+f.Name)
		if f.Value.Type() != "bool" {
			words = append(words, quoted(f.Value.String()))
		}
	})
	return strings.Join(words, " ")
}

// quoted is a word as a shell wants it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,@%+=", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// remaining is a selection without what has been dealt with.
func remaining(s selection.Selection, to segment.LSN, messages uint64) (rest selection.Selection, nothing bool) {
	if to == 0 {
		return s, false
	}
	if last, err := strconv.ParseUint(s.To, 10, 64); err == nil && last <= uint64(to) {
		return s, true
	}
	// Where --since begins was another place when it was asked for; now the place is known.
	s.Since, s.From = "", strconv.FormatUint(uint64(to)+1, 10)
	if s.Limit > 0 {
		if messages >= s.Limit {
			return s, true
		}
		s.Limit -= messages
	}
	return s, false
}

// oneHost is a source whose messages are all of one virtual host; a second one is an error, for they would be mixed.
type oneHost struct{ source }

func (o oneHost) each(ctx context.Context, fn func(*archive.Message) error) error {
	first, known := "", false
	return o.source.each(ctx, func(m *archive.Message) error {
		if !known {
			first, known = m.VHost, true
		}
		if m.VHost != first {
			return fmt.Errorf("there are messages of the virtual hosts %q and %q: choose one with --vhost", first, m.VHost)
		}
		return fn(m)
	})
}
