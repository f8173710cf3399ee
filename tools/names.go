package tools

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/selection"
)

// selectionFlags gives a command the flags that select records, with what shells complete them with: names come from the
// log that --data says.
func selectionFlags(c *cobra.Command) *selection.Selection {
	s := selection.Flags(c.Flags())
	command.List(c, "kind", selection.Kinds()...)
	command.Values(c, "queue", func() []string { return queueNames(c, "") })
	command.Values(c, "exchange", func() []string { return exchangeNames(c) })
	command.Values(c, "vhost", func() []string { return vhostNames(c) })
	return s
}

func fieldList() string { return strings.Join(selection.Fields(), ", ") }

// newest returns what existed at the end of the log that the command's --data says, nil if that cannot be read. It reads
// no more than the catalogue that the last file begins with and what changed since.
func newest(c *cobra.Command) *history.Topology {
	p, err := openPast(c.Context(), c.Flag("data").Value.String())
	if err != nil {
		return nil // whoever presses tab does not want to hear of it
	}
	defer p.close()
	p.begin(p.reader.Last())
	for p.next() {
	}
	return p.topology
}

// queueNames are the names of the queues that exist, in one virtual host or in all of them.
func queueNames(c *cobra.Command, host string) (names []string) {
	t := newest(c)
	if t == nil {
		return nil
	}
	for q := range t.Queues() {
		if q.Exists() && q.Keeps == "" && (host == "" || q.Host == host) {
			names = append(names, q.Name)
		}
	}
	return sorted(names)
}

func exchangeNames(c *cobra.Command) (names []string) {
	t := newest(c)
	if t == nil {
		return nil
	}
	for id := range t.VHosts() {
		for x := range t.Router(id).Exchanges() {
			if x.Name != "" {
				names = append(names, x.Name)
			}
		}
	}
	return sorted(names)
}

func vhostNames(c *cobra.Command) (names []string) {
	t := newest(c)
	if t == nil {
		return nil
	}
	for _, name := range t.VHosts() {
		names = append(names, name)
	}
	return sorted(names)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
