package chart

import (
	"errors"
	"io"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Lines shows how a number changes with another, a line for each series. The places across are evenly
// spread, whatever they stand for.
type Lines struct {
	Title, Subtitle string
	Across          string   // what the places are of
	Places          []string // from left to right
	Series          []string
	Values          [][]float64 // by series and place; NaN or 0 is missing
	Format          func(float64) string
}

const (
	linesWidth  = vg.Length(760)
	linesHeight = vg.Length(400)
	plotTop     = vg.Length(84)
	plotBottom  = linesHeight - 60
	plotLeft    = vg.Length(84)
	plotRight   = linesWidth - 48
)

// Write draws the chart.
func (l *Lines) Write(w io.Writer, format Format) error {
	if len(l.Places) == 0 || len(l.Series) == 0 || len(l.Values) != len(l.Series) {
		return errors.New("a chart of nothing")
	}
	return write(w, format, linesWidth, linesHeight, l.paint)
}

func (l *Lines) paint(c *canvas) {
	c.heading(l.Title, l.Subtitle)
	c.legend(l.Series, linesWidth-margin, 30)
	var all []float64
	for _, values := range l.Values {
		all = append(all, values...)
	}
	s := newScale(all, plotBottom, plotTop, 0.12)
	for _, tick := range s.ticks() {
		y := s.at(tick)
		c.line(ink(hairs), 0.7, plotLeft, y, plotRight, y)
		c.words(style{col: ink(quiet), size: 10, at: draw.XRight}, plotLeft-10, y, l.Format(tick))
	}
	c.line(ink(ties), 1, plotLeft, plotBottom, plotRight, plotBottom)
	for i, place := range l.Places {
		c.words(style{col: ink(quiet), size: 10, at: draw.XCenter}, l.x(i), plotBottom+14, place)
	}
	c.words(style{col: ink(words), size: 11, at: draw.XCenter}, (plotLeft+plotRight)/2, plotBottom+36, l.Across)
	for i := len(l.Series) - 1; i >= 0; i-- {
		l.series(c, s, i)
	}
}

// x is where a place stands.
func (l *Lines) x(place int) vg.Length {
	return plotLeft + (vg.Length(place)+0.5)*(plotRight-plotLeft)/vg.Length(len(l.Places))
}

func (l *Lines) series(c *canvas, s scale, i int) {
	var points []vg.Point
	for place, v := range l.Values[i] {
		if drawable(v) {
			points = append(points, c.point(l.x(place), s.at(v)))
		}
	}
	c.StrokeLines(draw.LineStyle{Color: seriesInk(i), Width: 2}, points)
	for place, v := range l.Values[i] {
		if !drawable(v) {
			continue
		}
		x, y := l.x(place), s.at(v)
		c.dot(seriesInk(i), x, y, 4.5)
		above := vg.Length(-13)
		if l.lower(i, place) {
			above = 13
		}
		c.words(style{col: seriesInk(i), size: 10, at: draw.XCenter}, x, y+above, l.Format(v))
	}
}

// lower says whether another series stands above this one: then its number goes below.
func (l *Lines) lower(series, place int) bool {
	own := l.Values[series][place]
	for _, values := range l.Values {
		if place < len(values) && values[place] > own {
			return true
		}
	}
	return false
}
