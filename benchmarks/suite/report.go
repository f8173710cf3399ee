package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// Report words and draws an outcome.
type Report struct {
	*Outcome
	Title string
	Notes []string // on date, machine, versions and the command
}

// Markdown is the whole report. With charts, it refers to the pictures that Write makes beside it.
func (r *Report) Markdown(charts bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	for _, broker := range r.versions() {
		fmt.Fprintf(&b, "- %s\n", broker)
	}
	fmt.Fprintf(&b, "- %s\n", r.medianNote())
	pictures := r.charts()
	picture := func(name string) {
		if charts && pictures[name] != nil {
			fmt.Fprintf(&b, "\n![%s](%s.svg)\n", name, name)
		}
	}
	for _, s := range r.sections() {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		if s.text != "" {
			fmt.Fprintf(&b, "%s\n\n", s.text)
		}
		b.WriteString(s.table.text.String())
		picture(s.chart)
	}
	if faults := r.faults(); len(faults) > 0 {
		b.WriteString("\n## Faults\n\n")
		for _, fault := range faults {
			fmt.Fprintf(&b, "- %s\n", fault)
		}
	} else {
		b.WriteString("\nNo message was lost, duplicated, reordered or misrouted in any of the runs.\n")
	}
	return b.String()
}

func (r *Report) medianNote() string {
	if r.Rounds == 1 {
		return "one run of each"
	}
	return fmt.Sprintf("medians of %d rounds, in each of which the brokers take turns", r.Rounds)
}

func (r *Report) versions() (lines []string) {
	for i, name := range r.Brokers {
		if v := r.Versions[i]; v != "" && !strings.EqualFold(v, name) {
			lines = append(lines, name+" is "+v)
		}
	}
	return lines
}

// faults are what went wrong, a line each.
func (r *Report) faults() (lines []string) {
	for _, row := range r.Rows {
		for broker, name := range r.Brokers {
			if err := row.Errors[broker]; err != nil {
				lines = append(lines, fmt.Sprintf("%s, %s: %s", name, row.Case.Workload.Name, strings.ReplaceAll(err.Error(), "\n", "; ")))
			}
			for i := range row.Results[broker] {
				if result := &row.Results[broker][i]; result.Failed() {
					lines = append(lines, fmt.Sprintf("%s, %s, round %d: %s", name, row.Case.Workload.Name, i+1, result.Trouble()))
				}
			}
		}
	}
	return lines
}

// Write writes report.md, results.json and the charts, as SVG and PNG, to a folder, which it makes.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	faults := []error{
		os.WriteFile(filepath.Join(dir, "report.md"), []byte(r.Markdown(true)), 0o644),
		r.writeJSON(filepath.Join(dir, "results.json")),
	}
	for name, c := range r.charts() {
		faults = append(faults, writeChart(dir, name, c))
	}
	return errors.Join(faults...)
}

// encoded is the form of results.json.
type encoded struct {
	Suite   string       `json:"suite"`
	Date    time.Time    `json:"date"`
	Notes   []string     `json:"notes"`
	Brokers []string     `json:"brokers"`
	Rounds  int          `json:"rounds"`
	Rows    []encodedRow `json:"rows"`
}

type encodedRow struct {
	Workload string                   `json:"workload"`
	ID       string                   `json:"id,omitempty"`
	Phase    string                   `json:"phase,omitempty"`
	Axis     string                   `json:"axis,omitempty"`
	Place    string                   `json:"place,omitempty"`
	Results  map[string][]load.Result `json:"results"` // by broker, one of each round
}

func (r *Report) writeJSON(path string) error {
	e := encoded{Suite: r.Suite.Name, Date: time.Now().UTC().Truncate(time.Second), Notes: r.Notes, Brokers: r.Brokers, Rounds: r.Rounds}
	for _, row := range r.Rows {
		results := map[string][]load.Result{}
		for i, name := range r.Brokers {
			results[name] = row.Results[i]
		}
		e.Rows = append(e.Rows, encodedRow{row.Case.Workload.Name, row.id(), row.Phase, row.Case.Axis, row.Case.Place, results})
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
