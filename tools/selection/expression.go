package selection

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// fields are what an expression can ask of a record. What a record does not have is zero.
type fields struct {
	LSN   int       `expr:"lsn"`
	Time  time.Time `expr:"time"`
	Kind  string    `expr:"kind"`
	VHost string    `expr:"vhost"`

	Exchange     string   `expr:"exchange"`
	Key          string   `expr:"key"`
	Queues       []string `expr:"queues"`
	Size         int      `expr:"size"`
	Body         string   `expr:"body"`
	Transient    bool     `expr:"transient"`
	DeadLettered bool     `expr:"dead_lettered"`
	Reason       string   `expr:"reason"` // of a settlement

	ContentType     string         `expr:"content_type"`
	ContentEncoding string         `expr:"content_encoding"`
	Headers         map[string]any `expr:"headers"`
	DeliveryMode    int            `expr:"delivery_mode"`
	Priority        int            `expr:"priority"`
	CorrelationID   string         `expr:"correlation_id"`
	ReplyTo         string         `expr:"reply_to"`
	Expiration      string         `expr:"expiration"`
	MessageID       string         `expr:"message_id"`
	Timestamp       time.Time      `expr:"timestamp"`
	Type            string         `expr:"type"`
	UserID          string         `expr:"user_id"`
	AppID           string         `expr:"app_id"`
	ClusterID       string         `expr:"cluster_id"`
}

// Fields lists the names that --where knows, in a sensible order, for a command's help.
func Fields() []string {
	kind := reflect.TypeFor[fields]()
	names := make([]string, kind.NumField())
	for i := range names {
		names[i] = kind.Field(i).Tag.Get("expr")
	}
	return names
}

// expression is a compiled --where.
type expression struct {
	program *vm.Program
	machine vm.VM
	asks    map[string]bool // by name of a field
	failed  uint64
	err     error // of the first that failed
}

// maxNodes bounds an expression, and what it may allocate for a record.
const maxNodes = 1000

func compileExpression(source string) (*expression, error) {
	asked := &names{seen: make(map[string]bool)}
	program, err := expr.Compile(source, expr.Env(fields{}), expr.AsBool(), expr.MaxNodes(maxNodes), expr.Patch(asked))
	if err != nil {
		return nil, fmt.Errorf("%w\nthere are the fields %s", err, strings.Join(Fields(), ", "))
	}
	return &expression{program: program, asks: asked.seen}, nil
}

// names notes the fields that an expression asks for, so that no others are made ready.
type names struct{ seen map[string]bool }

// Visit is called for each node of the expression.
func (n *names) Visit(node *ast.Node) {
	if identifier, ok := (*node).(*ast.IdentifierNode); ok {
		n.seen[identifier.Value] = true
		if identifier.Value == "$env" { // gives any of them
			for _, name := range Fields() {
				n.seen[name] = true
			}
		}
	}
}

func (e *expression) common(f *Filter, r segment.Record, when time.Time) fields {
	env := fields{LSN: int(r.LSN()), Time: when, Kind: r.Kind().String()}
	if e.asks["vhost"] {
		env.VHost, _ = f.names.VHostName(r.VHost())
	}
	return env
}

// other evaluates the expression for a record that is no message.
func (e *expression) other(f *Filter, r segment.Record, when time.Time) bool {
	env := e.common(f, r, when)
	if s, err := r.Settle(); err == nil {
		env.Reason = s.Reason.String()
		env.Queues = f.queueNames([]segment.QueueID{s.Queue})
	} else if h, err := r.Horizon(); err == nil {
		env.Queues = f.queueNames([]segment.QueueID{h.Queue})
	}
	return e.holds(&env)
}

// message evaluates the expression for a publish.
func (e *expression) message(f *Filter, r segment.Record, p *segment.Publish, when time.Time, queues []segment.QueueID) bool {
	env := e.common(f, r, when)
	exchange, key := amqp.Keys(p.Keys).Split()
	env.Exchange, env.Key, env.Size = string(exchange), string(key), len(p.Body)
	if e.asks["queues"] {
		env.Queues = f.queueNames(queues)
	}
	if e.asks["body"] {
		env.Body = string(p.Body)
	}
	env.Transient = r.Flags()&segment.FlagTransient != 0
	env.DeadLettered = r.Flags()&segment.FlagDeadLettered != 0
	header, err := amqp.ParseHeader(p.Header)
	if err == nil {
		err = e.properties(&env, &header)
	}
	if err != nil {
		e.fault(err)
		return false
	}
	return e.holds(&env)
}

func (e *expression) properties(env *fields, h *amqp.Header) error {
	env.DeliveryMode, env.Priority = int(h.DeliveryMode), int(h.Priority)
	if e.asks["headers"] {
		table, _ := h.Headers()
		headers, err := table.Decode()
		if err != nil {
			return err
		}
		env.Headers = plain(headers)
	}
	if e.asks["timestamp"] {
		if t, ok := h.Timestamp(); ok {
			env.Timestamp = t.Time()
		}
	}
	for _, text := range [...]struct {
		property amqp.Property
		value    *string
	}{
		{amqp.PropertyContentType, &env.ContentType},
		{amqp.PropertyContentEncoding, &env.ContentEncoding},
		{amqp.PropertyCorrelationID, &env.CorrelationID},
		{amqp.PropertyReplyTo, &env.ReplyTo},
		{amqp.PropertyExpiration, &env.Expiration},
		{amqp.PropertyMessageID, &env.MessageID},
		{amqp.PropertyType, &env.Type},
		{amqp.PropertyUserID, &env.UserID},
		{amqp.PropertyAppID, &env.AppID},
		{amqp.PropertyClusterID, &env.ClusterID},
	} {
		if h.Has(text.property) {
			*text.value = string(h.Shortstr(text.property))
		}
	}
	return nil
}

// plain gives headers the types that expressions compare: int, float64, string, bool, time.Time, maps and lists.
func plain(t amqp.Table) map[string]any {
	out := make(map[string]any, len(t))
	for key, value := range t {
		out[key] = plainValue(value)
	}
	return out
}

func plainValue(value any) any {
	if n, ok := amqp.Int(value); ok {
		return int(n)
	}
	switch v := value.(type) {
	case float32:
		return float64(v)
	case []byte:
		return string(v)
	case amqp.Timestamp:
		return v.Time()
	case amqp.Decimal:
		n := float64(v.Value)
		for range v.Scale {
			n /= 10
		}
		return n
	case amqp.Table:
		return plain(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainValue(v[i])
		}
		return out
	}
	return value
}

func (e *expression) holds(env *fields) bool {
	result, err := e.machine.Run(e.program, *env)
	if err != nil {
		e.fault(err)
		return false
	}
	holds, _ := result.(bool)
	return holds
}

func (e *expression) fault(err error) {
	if e.failed++; e.err == nil {
		e.err = err
	}
}

func (f *Filter) queueNames(ids []segment.QueueID) []string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		if name, ok := f.names.QueueName(id); ok {
			names = append(names, name)
		}
	}
	return names
}
