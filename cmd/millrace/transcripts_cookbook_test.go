package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

const cookbook = "../../docs/cookbook.md"

// What the cookbook shows of a command is what a transcript has of it, so it is what the command prints. The times that a
// command is shown are those that the transcripts run it, in their order. A line that is only … stands for lines left out.
func TestTheCookbookShowsWhatCommandsPrint(t *testing.T) {
	printed := printedInTranscripts(t, "testdata/script/cookbook_*.txtar")
	data, err := os.ReadFile(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	shown := shownIn(string(data))
	for _, part := range shown {
		output := part.output
		if part.command != "" {
			left := printed[part.command]
			if len(left) == 0 {
				t.Errorf("no transcript runs, so often, %q", part.command)
			} else if printed[part.command] = left[1:]; !abridges(part.output, left[0]) {
				ends := "\n" + part.output
				ends = ends[len(strings.TrimRight(ends, "\n")):] // with the empty line behind the block
				if output = strings.TrimRight(left[0], "\n") + ends; !*updateTranscripts {
					t.Errorf("%s prints\n%s\nand the cookbook shows\n%s", part.command, left[0], part.output)
				}
			}
		}
		page.WriteString(part.before + indented(output))
	}
	if len(shown) < 10 {
		t.Errorf("the cookbook shows %d commands", len(shown))
	}
	if *updateTranscripts {
		if err := os.WriteFile(cookbook, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printedInTranscripts is what commands print, by command, in the order in which they run.
func printedInTranscripts(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	scripts, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	run := regexp.MustCompile(`^(?:! )?exec (millrace .*?)( &\w+&)?$`)
	compared := regexp.MustCompile(`^(?:cmp stdout|like) (\S+)$`)
	printed := make(map[string][]string)
	for _, name := range scripts {
		script, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := make(map[string]string)
		for _, f := range script.Files {
			files[f.Name] = string(f.Data)
		}
		command := ""
		for line := range strings.Lines(string(script.Comment)) {
			if found := run.FindStringSubmatch(strings.TrimSpace(line)); found != nil {
				command = found[1]
			} else if found := compared.FindStringSubmatch(strings.TrimSpace(line)); found != nil && command != "" {
				printed[command] = append(printed[command], files[found[1]])
				command = ""
			}
		}
	}
	return printed
}

// part is a piece of the page: what stands before what a command prints, up to and with the line of the command, and that.
type part struct{ before, command, output string }

// shownIn cuts a page into parts: in indented blocks, '$ millrace' begins a command, which \ continues on the next line.
// 'millrace serve', which prints nothing that could be compared, is text.
func shownIn(page string) []part {
	parts := []part{{}}
	now := &parts[0]
	continued := false
	for line := range strings.Lines(page) {
		text, block := strings.CutPrefix(line, "    ")
		typed, isCommand := strings.CutPrefix(text, "$ ")
		switch {
		case block && continued:
			now.before += line
			now.command += " " + strings.TrimSpace(text)
		case block && isCommand || !block && now.command != "" && strings.TrimSpace(line) != "":
			parts = append(parts, part{before: line})
			now = &parts[len(parts)-1]
			if strings.HasPrefix(typed, "millrace ") && !strings.HasPrefix(typed, "millrace serve") && block {
				now.command = strings.TrimSpace(typed)
			}
		case now.command != "":
			now.output += text
		default:
			now.before += line
		}
		now.command, continued = strings.CutSuffix(now.command, "\\")
		now.command = strings.TrimRight(now.command, " ")
	}
	return parts
}

// abridges tells whether a text is another one, or has … for some lines of it.
func abridges(text, whole string) bool {
	text, whole = strings.TrimSpace(text), strings.TrimSpace(whole)
	pieces := strings.Split("\n"+text+"\n", "\n…\n")
	rest := "\n" + whole + "\n"
	for i, piece := range pieces {
		at := strings.Index(rest, piece)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		rest = rest[at+len(piece):]
	}
	return len(pieces) > 1 || rest == ""
}

// indented is a block of the page.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// like compares what was printed with a file, in which numbers may be others: times, ports, sizes. Where -update has other
// outputs of the script to write, it takes a second run.
func like(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: like FILE")
	}
	numbers, blanks := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`), regexp.MustCompile(` +`)
	alike := func(text string) string {
		return blanks.ReplaceAllString(numbers.ReplaceAllString(text, "0"), " ")
	}
	got, want := ts.ReadFile("stdout"), ts.ReadFile(args[0])
	if alike(got) != alike(want) && *updateTranscripts {
		script := filepath.Join("testdata/script", ts.Name()+".txtar")
		archive, err := txtar.ParseFile(script)
		ts.Check(err)
		for i, f := range archive.Files {
			if f.Name == args[0] {
				archive.Files[i].Data = []byte(got)
			}
		}
		ts.Check(os.WriteFile(script, txtar.Format(archive), 0o644))
	} else if alike(got) != alike(want) {
		ts.Fatalf("printed is\n%s\nwhich is not like %s:\n%s", got, args[0], want)
	}
}
