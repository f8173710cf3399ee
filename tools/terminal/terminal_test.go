package terminal

import (
	"strings"
	"testing"
)

func TestPipesGetNeitherColoursNorProgress(t *testing.T) {
	var b strings.Builder
	pipe := Of(&b)
	if pipe.IsTerminal() || pipe.Width() != 0 || pipe.Paint(Red, "x") != "x" {
		t.Errorf("%+v", pipe)
	}
	p := NewProgress(&b, "verify", 10, Bytes)
	p.Add(10)
	p.Close()
	if b.Len() > 0 {
		t.Errorf("wrote %q", b.String())
	}
	if got := pipe.Coloured(true).Paint(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("coloured on demand: %q", got)
	}
}

func TestProgressTellsHowFarItIs(t *testing.T) {
	for want, p := range map[string]struct {
		total int64
		unit  Unit
	}{"2.0/4.0 MiB": {4 << 20, Bytes}, "messages/": {4 << 20, Messages}, "records/": {-1, Records}} {
		var b strings.Builder
		bar := newProgress(Terminal{Writer: &b, fd: 0}, "export", p.total, p.unit)
		bar.Add(2 << 20)
		shown := b.String()
		bar.Close()
		bar.Close()
		if !strings.Contains(shown, "export") || !strings.Contains(shown, want) {
			t.Errorf("no %q in %q", want, shown)
		}
	}
}
