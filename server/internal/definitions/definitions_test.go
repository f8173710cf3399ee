package definitions_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/definitions"
)

var update = flag.Bool("update", false, "rewrite what testdata expects")

// testdata holds files of cases: a line "== name", the definitions, a line "=>", and what Parse says of them.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			about, rest, _ := strings.Cut(string(before), "== ")
			after := about
			for c := range strings.SplitSeq("\n"+rest, "\n== ") {
				name, text, _ := strings.Cut(strings.TrimPrefix(c, "\n"), "\n")
				input, want, _ := strings.Cut(text, "\n=>\n")
				got := describe(definitions.Parse("d.json", []byte(input)))
				if strings.TrimSpace(got) != strings.TrimSpace(want) && !*update {
					t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
				}
				after += "== " + name + "\n" + input + "\n=>\n" + got + "\n"
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimSuffix(after, "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// describe writes down all that was read, or the faults.
func describe(d *definitions.Definitions, err error) string {
	var faulty *definitions.Faulty
	if errors.As(err, &faulty) {
		return err.Error() + "\n"
	} else if err != nil {
		return "not a Faulty: " + err.Error() + "\n"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, v := range d.VHosts {
		over := v.Over(access.VHost{})
		line("vhost %q description %q tags %q type %q tracing %v", v.Name, over.Description, over.Tags, over.DefaultQueueType, over.Tracing)
	}
	for _, l := range d.VHostLimits {
		line("limits of vhost %q: %v", l.VHost, l.Limits)
	}
	for _, u := range d.Users {
		line("user %q password %q hash %q by %q tags %q limits %v", u.Name, u.Password, u.PasswordHash, u.Hashing, u.Tags, u.Limits)
	}
	for _, p := range d.Permissions {
		line("permission %q in %q: %q %q %q", p.User, p.VHost, p.Configure, p.Write, p.Read)
	}
	for _, p := range d.TopicPermissions {
		line("topics of %q in %q of %q: %q %q", p.User, p.Exchange, p.VHost, p.Write, p.Read)
	}
	for _, p := range d.Policies {
		line("policy %q in %q operator %v: %q to %s priority %d: %#v", p.Name, p.VHost, p.Operator, p.Pattern, p.ApplyTo, p.Priority, p.Definition)
	}
	for _, x := range d.Exchanges {
		line("exchange %q in %q: %s durable %v auto-delete %v internal %v %#v", x.Name, x.VHost, x.Type, x.Durable, x.AutoDelete, x.Internal, x.Arguments)
	}
	for _, q := range d.Queues {
		line("queue %q in %q: durable %v auto-delete %v %#v", q.Name, q.VHost, q.Durable, q.AutoDelete, q.Arguments)
	}
	for _, x := range d.Bindings {
		line("binding in %q from %q to %q (exchange %v) by %q %#v", x.VHost, x.Source, x.Destination, x.ToExchange, x.RoutingKey, x.Arguments)
	}
	for _, n := range d.Notes {
		line("note: %s", n)
	}
	return b.String()
}

func TestExampleIsRead(t *testing.T) {
	data, err := os.ReadFile("../../../docs/examples/definitions/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := definitions.Parse("definitions.json", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Notes) > 0 {
		t.Errorf("the example has what is passed over: %q", d.Notes)
	}
	if got := fmt.Sprint(len(d.Users), len(d.VHosts), len(d.Permissions), len(d.TopicPermissions), len(d.Policies), len(d.Exchanges), len(d.Queues), len(d.Bindings)); got != "2 2 3 1 3 2 3 3" {
		t.Errorf("the example has %s users, hosts, permissions, topic permissions, policies, exchanges, queues and bindings", got)
	}
}

func TestFaultsAreToldWithTheirPlaces(t *testing.T) {
	for input, want := range map[string]string{
		"{\n  \"queues\": [\n    {\"vhost\": \"/\", \"name\": 5}\n  ]\n}": "d.json:3:28: queues[0].name: this must be a string, not a number",
		"{\"ünïcode\": 1, \"users\": 2}":                                  "d.json:1:25: users: this must be a list, not a number",
		"{\n \"users\": \"\xff\"}":                                        "d.json:2:12: the file is not UTF-8",
	} {
		if _, err := definitions.Parse("d.json", []byte(input)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	_, err := definitions.Parse("d.json", []byte(`{"users": [`+strings.Repeat("1,", 29)+`1]}`))
	if err == nil || strings.Count(err.Error(), "\n") != 10 || !strings.HasSuffix(err.Error(), "\nand 20 more") {
		t.Errorf("got %v", err)
	}
}

func TestManyNotesAreCounted(t *testing.T) {
	hosts := make([]string, 30)
	for i := range hosts {
		hosts[i] = fmt.Sprintf(`{"name": "%d", "colour": 1}`, i)
	}
	d, err := definitions.Parse("d.json", []byte(`{"vhosts": [`+strings.Join(hosts, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Notes) != 11 || d.Notes[10] != "and 20 more" {
		t.Errorf("got %q", d.Notes)
	}
}

// Whatever a file holds, reading it ends, and with an error that says where.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range append(files, "../../../docs/examples/definitions/definitions.json") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range strings.SplitSeq(string(data), "\n== ") {
			if _, text, ok := strings.Cut(c, "\n"); ok {
				input, _, _ := strings.Cut(text, "\n=>\n")
				f.Add([]byte(input))
			}
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := definitions.Parse("d.json", data)
		var faulty *definitions.Faulty
		switch {
		case err == nil && d == nil:
			t.Fatal("neither definitions nor an error")
		case err == nil:
			for _, p := range d.Policies {
				if err := p.Validate(); err != nil {
					t.Fatalf("policy %q: %v", p.Name, err)
				}
				_ = p.Table().Raw()
			}
			for _, q := range d.Queues {
				_ = q.Arguments.Raw()
			}
		case !errors.As(err, &faulty) || !strings.HasPrefix(err.Error(), "d.json:"):
			t.Fatalf("error without a place: %v", err)
		}
	})
}
