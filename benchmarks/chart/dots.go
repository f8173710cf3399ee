package chart

import (
	"errors"
	"io"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Dots compares series by rows: a dot for each number, tied together in its row.
type Dots struct {
	Title, Subtitle string
	Series          []string
	Rows            []Row
	Format          func(float64) string // words a number
}

// Row is one thing that was measured of each series.
type Row struct {
	Name, Note string
	Values     []float64 // one for each series; NaN or less than what can be drawn (0) is missing
	Remark     string    // stands at the end of the row
}

const (
	rowHeight  = vg.Length(34)
	headHeight = vg.Length(92)
	footHeight = vg.Length(20)
	dotsWidth  = vg.Length(900)
	// noteWidth is where the numbers begin, and remarkWidth where they end.
	noteWidth   = vg.Length(300)
	remarkWidth = vg.Length(70)
)

// Write draws the chart.
func (d *Dots) Write(w io.Writer, format Format) error {
	if len(d.Rows) == 0 || len(d.Series) == 0 {
		return errors.New("a chart of nothing")
	}
	height := headHeight + vg.Length(len(d.Rows))*rowHeight + footHeight
	return write(w, format, dotsWidth, height, d.paint)
}

func (d *Dots) paint(c *canvas) {
	c.heading(d.Title, d.Subtitle)
	c.legend(d.Series, dotsWidth-margin, 30)
	var all []float64
	for _, r := range d.Rows {
		all = append(all, r.Values...)
	}
	left, right := noteWidth, dotsWidth-margin-remarkWidth
	s := newScale(all, left, right, 0.11)
	bottom := headHeight + vg.Length(len(d.Rows))*rowHeight
	for i := range d.Rows {
		if i%2 == 0 {
			c.fill(ink(stripes), margin/2, headHeight+vg.Length(i)*rowHeight, dotsWidth-margin, rowHeight)
		}
	}
	for _, tick := range s.ticks() {
		x := s.at(tick)
		c.line(ink(hairs), 0.7, x, headHeight, x, bottom)
		c.words(style{col: ink(quiet), size: 9.5, at: draw.XCenter}, x, headHeight-10, d.Format(tick))
	}
	for i, r := range d.Rows {
		d.row(c, s, r, headHeight+(vg.Length(i)+0.5)*rowHeight)
	}
}

func (d *Dots) row(c *canvas, s scale, r Row, y vg.Length) {
	name := style{col: ink(words), size: 11.5, bold: true}
	c.words(name, margin, y, r.Name)
	c.words(style{col: ink(quiet), size: 10}, margin+max(c.width(name, r.Name)+8, 34), y, r.Note)
	c.words(style{col: ink(words), size: 11.5, bold: true, at: draw.XRight}, dotsWidth-margin, y, r.Remark)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range r.Values {
		if drawable(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high {
		return
	}
	c.line(ink(ties), 2.5, s.at(low), y, s.at(high), y)
	for i := len(r.Values) - 1; i >= 0; i-- { // the first one on top
		if v := r.Values[i]; drawable(v) {
			c.dot(seriesInk(i), s.at(v), y, 5.5)
		}
	}
	d.ends(c, s, r, y, low, high)
}

// ends writes the numbers of the outermost dots beside them.
func (d *Dots) ends(c *canvas, s scale, r Row, y vg.Length, low, high float64) {
	for i, v := range r.Values {
		look := style{col: seriesInk(i), size: 10}
		switch {
		case !drawable(v):
		case v == high:
			c.words(look, s.at(v)+10, y, d.Format(v))
			high = math.NaN() // once
		case v == low:
			look.at = draw.XRight
			c.words(look, s.at(v)-10, y, d.Format(v))
			low = math.NaN()
		}
	}
}

func drawable(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
