package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func sampleDots() *Dots {
	return &Dots{
		Title: "Messages a second", Subtitle: "more is better", Series: []string{"millrace", "rabbitmq"},
		Format: func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) },
		Rows: []Row{
			{"W1", "transient 16 B", []float64{1_000_000, 88_000}, "11×"},
			{"W2", "transient 1 KiB", []float64{400_000, 43_000}, "9.3×"},
			{"W9", "missing from one", []float64{7, math.NaN()}, ""},
			{"W10", "missing from both", []float64{0, math.Inf(1)}, ""},
			{"W11", "equal", []float64{50, 50}, "1×"},
		},
	}
}

func sampleLines() *Lines {
	return &Lines{
		Title: "CPU of the broker by connections", Subtitle: "µs a message", Across: "connections",
		Places: []string{"1", "10", "100", "1,000"}, Series: []string{"millrace", "rabbitmq"},
		Values: [][]float64{{1.5, 1.2, 1.9, 3}, {60, 70, math.NaN(), 200}},
		Format: func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) },
	}
}

type writer interface{ Write(io.Writer, Format) error }

// TestChartsAreNotEmpty looks for ink: the colour of each series, and words. CHART_DIR keeps what was drawn.
func TestChartsAreNotEmpty(t *testing.T) {
	for name, c := range map[string]writer{"dots": sampleDots(), "lines": sampleLines()} {
		t.Run(name, func(t *testing.T) {
			var drawn, text bytes.Buffer
			if err := errors.Join(c.Write(&drawn, PNG), c.Write(&text, SVG)); err != nil {
				t.Fatal(err)
			}
			if dir := os.Getenv("CHART_DIR"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".png"), drawn.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			picture, err := png.Decode(&drawn)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if n := countInk(picture, i); n < 100 {
					t.Errorf("series %d has %d pixels", i, n)
				}
			}
			if err := wellFormed(text.Bytes()); err != nil {
				t.Error(err)
			}
			for _, want := range []string{"millrace", "rabbitmq", "Arial"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in the SVG", want)
				}
			}
		})
	}
}

// countInk counts the pixels of a series' colour.
func countInk(picture image.Image, series int) (n int) {
	r, g, b, _ := seriesInk(series).RGBA()
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if pr, pg, pb, _ := picture.At(x, y).RGBA(); pr>>8 == r>>8 && pg>>8 == g>>8 && pb>>8 == b>>8 {
				n++
			}
		}
	}
	return n
}

func wellFormed(text []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestChartsOfNothingAreRefused(t *testing.T) {
	for _, c := range []writer{&Dots{}, &Lines{}} {
		if err := c.Write(io.Discard, SVG); err == nil {
			t.Errorf("%T of nothing was drawn", c)
		}
	}
	if err := sampleDots().Write(io.Discard, "gif"); err == nil {
		t.Error("a format that nobody knows")
	}
}

func TestScaleHasRoundTicks(t *testing.T) {
	for _, values := range [][]float64{{1, 1_000_000}, {5, 9}, {0.3, 40}, {7}, {}} {
		s := newScale(values, 0, 100, 0.1)
		ticks := s.ticks()
		if len(ticks) < 2 || len(ticks) > 12 {
			t.Errorf("%v: ticks %v", values, ticks)
		}
		for _, v := range values {
			if at := s.at(v); at < 0 || at > 100 {
				t.Errorf("%v: %v is at %v", values, v, at)
			}
		}
	}
}
