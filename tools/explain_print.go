package tools

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// The lines of 'millrace log explain --json': a message, the steps of its way, and for each queue what happened in it, in
// order, and how it ended.
type (
	explainMessage struct {
		What       string      `json:"what"` // message
		LSN        segment.LSN `json:"lsn"`
		Time       time.Time   `json:"time"`
		VHost      string      `json:"vhost"`
		Exchange   string      `json:"exchange"`
		RoutingKey string      `json:"routing_key"`
		MessageID  string      `json:"message_id,omitempty"`
		Size       int         `json:"size"`
		Queues     []string    `json:"queues"`
		FromLSN    segment.LSN `json:"from_lsn,omitempty"` // what it was before
		FromQueue  string      `json:"from_queue,omitempty"`
	}
	explainStep struct {
		What      string           `json:"what"` // step
		LSN       segment.LSN      `json:"lsn"`
		Exchange  string           `json:"exchange"`
		Type      string           `json:"type"`
		From      string           `json:"from,omitempty"` // the exchange that led there
		Through   string           `json:"through,omitempty"`
		Matched   []explainBinding `json:"matched"`
		Alternate string           `json:"alternate,omitempty"`
		Chance    bool             `json:"chance,omitempty"`
		Held      bool             `json:"held,omitempty"`
	}
	explainBinding struct {
		Key         string `json:"key"`
		Destination string `json:"destination"`
		Kind        string `json:"kind"`
	}
	explainEvent struct {
		What      string           `json:"what"` // event
		LSN       segment.LSN      `json:"lsn"`
		Queue     string           `json:"queue"`
		Event     string           `json:"event"`
		At        segment.LSN      `json:"at"` // the record that tells
		Time      time.Time        `json:"time"`
		Successor segment.LSN      `json:"successor,omitempty"`
		Reason    string           `json:"reason,omitempty"` // of a death
		Consumer  *explainConsumer `json:"consumer,omitempty"`
	}
	explainConsumer struct {
		Tag        string      `json:"tag"`
		User       string      `json:"user"`
		Connection string      `json:"connection,omitempty"`
		Peer       string      `json:"peer,omitempty"`
		Channel    uint16      `json:"channel"`
		LSN        segment.LSN `json:"lsn"`
	}
	explainState struct {
		What  string      `json:"what"` // state
		LSN   segment.LSN `json:"lsn"`
		Queue string      `json:"queue"`
		Holds bool        `json:"holds"` // at the end of the log
	}
	explainNote struct {
		What string      `json:"what"` // note
		LSN  segment.LSN `json:"lsn"`
		Note string      `json:"note"`
	}
)

func (e *explanation) print(c *cobra.Command, asJSON bool) error {
	if asJSON {
		return e.printJSON(c.OutOrStdout())
	}
	out := terminal.Of(c.OutOrStdout())
	var b strings.Builder
	e.head(&b, out)
	e.way(&b, out)
	e.became(&b, out)
	for _, note := range e.notes() {
		fmt.Fprintf(&b, "\n%s %s\n", out.Paint(terminal.Yellow, "Note:"), note)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (e *explanation) message() explainMessage {
	p, _ := e.record.Publish() // it is one
	exchange, key := amqp.Keys(p.Keys).Split()
	m := explainMessage{
		What: "message", LSN: e.record.LSN(), Time: e.when.UTC(), Exchange: string(exchange), RoutingKey: string(key), Size: len(p.Body),
		Queues: []string{}, FromLSN: e.origin.lsn,
	}
	m.VHost, _ = e.names.VHostName(e.record.VHost())
	if header, err := amqp.ParseHeader(p.Header); err == nil {
		m.MessageID = string(header.Shortstr(amqp.PropertyMessageID))
	}
	for _, id := range e.queues {
		m.Queues = append(m.Queues, e.queueName(id))
	}
	if e.origin.lsn != 0 {
		m.FromQueue = e.queueName(e.origin.queue)
	}
	return m
}

func (e *explanation) queueName(id segment.QueueID) string {
	name, ok := e.names.QueueName(id)
	if !ok {
		return "#" + name
	}
	return name
}

// head tells what the message is.
func (e *explanation) head(b *strings.Builder, out terminal.Terminal) {
	m := e.message()
	fmt.Fprintf(b, "%s, %s: to exchange %q with key %q in vhost %s, %d bytes", out.Paint(terminal.Bold, fmt.Sprintf("Message %d", m.LSN)),
		m.Time.Format(render.TimeFormat), m.Exchange, m.RoutingKey, shownName(m.VHost), m.Size)
	if m.MessageID != "" {
		fmt.Fprintf(b, ", message-id %q", m.MessageID)
	}
	b.WriteByte('\n')
	if m.FromLSN != 0 {
		fmt.Fprintf(b, "The broker has published it for message %d, which has left queue %s\n", m.FromLSN, shownName(m.FromQueue))
	} else if e.record.Flags()&segment.FlagDeadLettered != 0 {
		b.WriteString("The broker has published it for a message that had died; the log does not tell which\n")
	}
}

// way tells why it went where it went.
func (e *explanation) way(b *strings.Builder, out terminal.Terminal) {
	fmt.Fprintf(b, "\n%s\n", out.Paint(terminal.Bold, "Why it went where it went"))
	if e.fault != nil {
		fmt.Fprintf(b, "  not known: %s\n", e.fault)
	}
	for i := range e.route.Steps {
		s := &e.route.Steps[i]
		fmt.Fprintf(b, "  %s\n", e.stepLine(s, out))
		widest := 0
		for _, m := range s.Matched {
			widest = max(widest, len(bindingText(s, m)))
		}
		for _, m := range s.Matched {
			fmt.Fprintf(b, "    %-*s -> %s %s\n", widest, bindingText(s, m), m.DestinationKind, out.Paint(terminal.Cyan, shownName(m.Destination)))
		}
		for _, text := range stepTexts(s) {
			fmt.Fprintf(b, "    %s\n", text)
		}
	}
	names := e.message().Queues
	for i := range names {
		names[i] = out.Paint(terminal.Cyan, shownName(names[i]))
	}
	if len(names) == 0 {
		names = []string{"no queue"}
	}
	fmt.Fprintf(b, "  It went to %s\n", strings.Join(names, ", "))
}

// stepLine names an exchange and what led there.
func (e *explanation) stepLine(s *router.Step, out terminal.Terminal) string {
	name := shownName(s.Exchange.Name)
	if s.Exchange.Name == "" {
		name = "the default exchange"
	} else {
		name = fmt.Sprintf("exchange %s (%s)", out.Paint(terminal.Cyan, name), s.Exchange.Type)
	}
	switch {
	case s.From < 0:
		return name
	case s.Through == nil:
		return fmt.Sprintf("%s, the alternate of %s", name, shownName(e.route.Steps[s.From].Exchange.Name))
	}
	return fmt.Sprintf("%s, by the binding %s of %s", name, shownName(s.Through.Key), shownName(e.route.Steps[s.From].Exchange.Name))
}

// bindingText is what a binding asks for.
func bindingText(s *router.Step, b router.Binding) string {
	if s.Exchange.Name == "" {
		return "by its name"
	}
	text := shownName(b.Key)
	if len(b.Arguments) > 0 {
		text += " " + render.Text(amqp.Table(b.Arguments))
	}
	return text
}

func stepTexts(s *router.Step) (texts []string) {
	if s.Held {
		texts = append(texts, "keeps it until its delay is over")
	}
	if s.Remembered {
		texts = append(texts, "keeps it for new bindings")
	}
	if s.Chance {
		texts = append(texts, "sends it through one of these only, by chance")
	}
	switch {
	case s.Missing:
		texts = append(texts, fmt.Sprintf("nothing matched, and the alternate exchange %s did not exist", shownName(s.Alternate)))
	case s.Alternate != "":
		texts = append(texts, "nothing matched, so the alternate exchange "+shownName(s.Alternate)+" has it")
	case len(s.Matched) == 0 && !s.Held:
		texts = append(texts, "nothing matched")
	}
	return texts
}

// became tells what became of the message in each queue.
func (e *explanation) became(b *strings.Builder, out terminal.Terminal) {
	fmt.Fprintf(b, "\n%s\n", out.Paint(terminal.Bold, "What became of it"))
	for _, id := range e.queues {
		fmt.Fprintf(b, "  %s\n", out.Paint(terminal.Cyan, shownName(e.queueName(id))))
		for _, event := range e.story.Events() {
			if event.Queue == id {
				fmt.Fprintf(b, "    %s  %s  %s\n", event.Time.UTC().Format(render.TimeFormat), out.Paint(terminal.Dim, fmt.Sprintf("record %d", event.LSN)), e.eventText(event, out))
			}
		}
		if slices.Contains(e.story.Holding(), id) {
			fmt.Fprintf(b, "    %s\n", out.Paint(terminal.Yellow, fmt.Sprintf("still there at the end of the log, record %d, %s", e.last, e.end.UTC().Format(render.TimeFormat))))
		}
	}
}

// eventText words an event.
func (e *explanation) eventText(event history.Event, out terminal.Terminal) string {
	by := ""
	if event.Consumer != nil {
		by = " by " + consumerText(event.Consumer)
	}
	switch event.What {
	case history.Published:
		return "came into the queue"
	case history.HandedOut:
		return "may be handed to consumers from here on"
	case history.Returned:
		return out.Paint(terminal.Yellow, "came back") + strings.Replace(by, " by ", " from ", 1)
	case history.Acked:
		return out.Paint(terminal.Green, "acknowledged") + by
	case history.NoAcked:
		return out.Paint(terminal.Green, "delivered") + strings.Replace(by, " by ", " to ", 1) + ", which acknowledges nothing"
	case history.Rejected:
		return out.Paint(terminal.Red, "rejected") + by + ", and gone"
	case history.Expired:
		return out.Paint(terminal.Red, "expired") + ", and gone"
	case history.Purged:
		return out.Paint(terminal.Red, "purged") + " with the queue"
	case history.Dropped:
		return out.Paint(terminal.Red, "dropped") + ": the queue was full, or nobody took the dead letter"
	case history.Transferred:
		return e.transferText(event, by, out)
	case history.QueueDeleted:
		return out.Paint(terminal.Red, "gone") + " with the queue, which was deleted"
	case history.Restarted:
		return out.Paint(terminal.Red, "gone") + " with a restart of the broker: it was transient"
	}
	return string(event.What) + by
}

// transferText tells as what a message went on, and why.
func (e *explanation) transferText(event history.Event, by string, out terminal.Terminal) string {
	reason := e.deaths[event.Successor]
	what, why := "went on", ""
	if reason != "" {
		what, why = "dead-lettered", ": "+reason+by
	}
	if what = out.Paint(terminal.Yellow, what); event.Successor == 0 {
		return what + ", as which message the log does not tell" + why
	}
	return fmt.Sprintf("%s as message %d%s", what, event.Successor, why)
}

func consumerText(c *history.Consumer) string {
	who := "basic.get"
	if c.Tag != "" {
		who = fmt.Sprintf("consumer %q", c.Tag)
	}
	from := c.Connection
	if peer, _ := c.Fields["peer"].(string); peer != "" {
		from = strings.TrimSpace(from + " " + peer)
	}
	if from != "" {
		from = ", connection " + shownName(from)
	}
	return fmt.Sprintf("%s (user %s%s, channel %d)", who, shownName(c.User), from, c.Channel)
}

// notes say what the log does not tell.
func (e *explanation) notes() (notes []string) {
	if e.old {
		notes = append(notes, "its file was relocated. The log tells only of the queues that held it then, and not who took it before.")
	}
	if e.story.Transient() {
		notes = append(notes, "it is transient: it may have left a queue without a record.")
	}
	var expected []string // that the bindings lead to
	for _, q := range e.route.Queues {
		if !slices.Contains(e.queues, q.ID) {
			expected = append(expected, shownName(q.Name))
		}
	}
	chance := slices.ContainsFunc(e.route.Steps, func(s router.Step) bool { return s.Chance })
	if len(expected) > 0 && !e.old && !chance {
		notes = append(notes, "the bindings lead to "+strings.Join(expected, ", ")+" too. The message did not come there: the queue was full, or had the dead letter before.")
	}
	for _, id := range e.queues {
		q := e.names.Queue(id)
		switch {
		case q == nil:
			notes = append(notes, fmt.Sprintf("the log does not tell what queue %d was called.", id))
		case !q.Durable:
			notes = append(notes, fmt.Sprintf("queue %s does not survive a restart: what leaves it has no record.", shownName(q.Name)))
		}
	}
	return notes
}

func (e *explanation) printJSON(out io.Writer) error {
	encoder := render.NewEncoder(out)
	m := e.message()
	err := encoder.Encode(m)
	line := func(v any) {
		if err == nil {
			err = encoder.Encode(v)
		}
	}
	if e.fault != nil {
		line(explainNote{"note", m.LSN, "the way is not known: " + e.fault.Error()})
	}
	for _, s := range e.route.Steps {
		step := explainStep{
			What: "step", LSN: m.LSN, Exchange: s.Exchange.Name, Type: s.Exchange.Type, Alternate: s.Alternate, Chance: s.Chance, Held: s.Held,
			Matched: []explainBinding{},
		}
		if s.From >= 0 {
			step.From = e.route.Steps[s.From].Exchange.Name
		}
		if s.Through != nil {
			step.Through = s.Through.Key
		}
		for _, b := range s.Matched {
			step.Matched = append(step.Matched, explainBinding{b.Key, b.Destination, b.DestinationKind.String()})
		}
		line(step)
	}
	for _, event := range e.story.Events() {
		shown := explainEvent{
			What: "event", LSN: m.LSN, Queue: e.queueName(event.Queue), Event: string(event.What), At: event.LSN, Time: event.Time.UTC(),
			Successor: event.Successor, Reason: e.deaths[event.Successor],
		}
		if by := event.Consumer; by != nil {
			peer, _ := by.Fields["peer"].(string)
			shown.Consumer = &explainConsumer{by.Tag, by.User, by.Connection, peer, by.Channel, by.Started.LSN}
		}
		line(shown)
	}
	for _, id := range e.queues {
		line(explainState{"state", m.LSN, e.queueName(id), slices.Contains(e.story.Holding(), id)})
	}
	for _, note := range e.notes() {
		line(explainNote{"note", m.LSN, note})
	}
	return err
}
