package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Format is how a chart is written.
type Format string

// The formats; each is the ending of a file's name too.
const (
	SVG Format = "svg"
	PNG Format = "png"
)

// dotsPerInch makes text of a PNG sharp on screens of today: two pixels for each point of a page's.
const dotsPerInch = 144

// canvas is a page in points, with the origin at its upper left corner, as one reads.
type canvas struct {
	draw.Canvas
	height vg.Length
	fonts  text.Handler
}

func ink(hex uint32) color.Color {
	return color.NRGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 0xFF}
}

// The colours of the page.
const (
	paper   = 0xFFFFFF
	words   = 0x1B2430
	quiet   = 0x6B7684
	hairs   = 0xE3E7EB
	stripes = 0xF7F8FA
	ties    = 0xC9D0D8
)

// seriesInk is the colour of a series: told apart by those who see no red or green too.
func seriesInk(i int) color.Color {
	inks := []uint32{0x0B6BCB, 0xE8710A, 0x159A7B, 0x9C36B5, 0xC2255C, 0x5C6B7A}
	return ink(inks[i%len(inks)])
}

// write draws a page and writes it.
func write(w io.Writer, format Format, width, height vg.Length, paint func(*canvas)) error {
	fonts := text.Plain{Fonts: font.NewCache(liberation.Collection())}
	page := func(c vg.CanvasSizer) {
		p := &canvas{draw.New(c), height, fonts}
		p.fill(ink(paper), 0, 0, width, height)
		paint(p)
	}
	switch format {
	case PNG:
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dotsPerInch))
		page(c)
		_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(w)
		return err
	case SVG:
		c := vgsvg.New(width, height)
		page(c)
		var text bytes.Buffer
		if _, err := c.WriteTo(&text); err != nil {
			return err
		}
		// Where the font is missing, Arial and Helvetica have letters of the same width.
		_, err := w.Write(bytes.ReplaceAll(text.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")))
		return err
	}
	return fmt.Errorf("no chart is written as %q", format)
}

func (c *canvas) point(x, y vg.Length) vg.Point { return vg.Point{X: x, Y: c.height - y} }

// fill fills a rectangle.
func (c *canvas) fill(col color.Color, x, y, width, height vg.Length) {
	c.FillPolygon(col, []vg.Point{c.point(x, y), c.point(x+width, y), c.point(x+width, y+height), c.point(x, y+height)})
}

// line draws a straight line.
func (c *canvas) line(col color.Color, width, x0, y0, x1, y1 vg.Length) {
	c.StrokeLines(draw.LineStyle{Color: col, Width: width}, []vg.Point{c.point(x0, y0), c.point(x1, y1)})
}

// dot draws a filled circle with a rim of the paper's colour, so that dots that overlap can be told apart.
func (c *canvas) dot(col color.Color, x, y, radius vg.Length) {
	for _, ring := range []struct {
		col    color.Color
		radius vg.Length
	}{{ink(paper), radius + 1.5}, {col, radius}} {
		var p vg.Path
		p.Move(c.point(x+ring.radius, y))
		p.Arc(c.point(x, y), ring.radius, 0, 2*math.Pi)
		p.Close()
		c.SetColor(ring.col)
		c.Fill(p)
	}
}

// style is how words look.
type style struct {
	col  color.Color
	size vg.Length
	bold bool
	at   text.XAlignment // which part of the words the place is of
}

// words writes a line of text whose letters' middle is at y.
func (c *canvas) words(s style, x, y vg.Length, words string) {
	ts := c.textStyle(s)
	ts.XAlign, ts.YAlign = s.at, draw.YCenter
	c.FillText(ts, c.point(x, y-0.1*s.size), words) // letters without a tail stand in the middle
}

func (c *canvas) textStyle(s style) draw.TextStyle {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: s.size}
	if s.bold {
		f.Weight = 3 // golang.org/x/image/font.WeightBold
	}
	return draw.TextStyle{Color: s.col, Font: f, Handler: c.fonts}
}

// width is how wide words are.
func (c *canvas) width(s style, words string) vg.Length { return c.textStyle(s).Width(words) }

// legend names the series, each beside its colour, in a row that ends at right.
func (c *canvas) legend(series []string, right, y vg.Length) {
	s := style{col: ink(words), size: 11}
	x := right
	for i := len(series) - 1; i >= 0; i-- {
		x -= c.width(s, series[i])
		c.words(s, x, y, series[i])
		x -= 10
		c.dot(seriesInk(i), x, y, 4.5)
		x -= 20
	}
}

// heading writes what a chart shows.
func (c *canvas) heading(title, subtitle string) {
	c.words(style{col: ink(words), size: 17, bold: true}, margin, 30, title)
	c.words(style{col: ink(quiet), size: 11}, margin, 50, subtitle)
}

// margin is the space around a page.
const margin = vg.Length(24)
