// Package chart draws what was measured: brokers side by side by workload ([Dots]), and how a cost grows
// ([Lines]). Both are written as SVG or as PNG.
//
// It knows names and numbers, and nothing of brokers. Axes are logarithmic: brokers differ by factors.
//
//	d := chart.Dots{Title: "Messages a second", Series: []string{"a", "b"}, Rows: rows, Format: format}
//	err := d.Write(file, chart.SVG)
//
// It has no goroutines and no state.
package chart
