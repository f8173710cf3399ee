package amqp

import "strconv"

const (
	// snippetSize is how many octets of a bad frame an error text shows.
	snippetSize = 16
	// maxRendered bounds the octets rendered into a text that is cut at 255 octets anyway.
	maxRendered = 128
)

// frameOctets renders a frame's payload as error texts show it: `all octets = <<"abc">>`, or the first
// sixteen of them.
func frameOctets(payload []byte) string {
	if len(payload) <= snippetSize {
		return "all octets = " + octets(payload)
	}
	return "first 16 octets = " + octets(payload[:snippetSize])
}

// octets renders data as Erlang prints a binary: quoted when all of it is printable, else as decimals.
// Octets above 126 count as not printable: Erlang shows those of Latin-1 and UTF-8 as characters,
// which would need a guess at the encoding for text that only people read.
func octets(data []byte) string {
	if len(data) == 0 || !printable(data) {
		return decimalOctets(data)
	}
	text := append(make([]byte, 0, len(data)+6), `<<"`...)
	for _, c := range data {
		if escape := erlangEscape(c); escape != 0 {
			text = append(text, '\\', escape)
		} else {
			text = append(text, c)
		}
	}
	return string(append(text, `">>`...))
}

// decimalOctets renders data as `<<0,20>>`.
func decimalOctets(data []byte) string {
	text := append(make([]byte, 0, 4*min(len(data), maxRendered)+4), "<<"...)
	for i, c := range data[:min(len(data), maxRendered)] {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(c), 10)
	}
	return string(append(text, ">>"...))
}

func printable(data []byte) bool {
	for _, c := range data {
		if (c < ' ' || c > '~') && erlangEscape(c) == 0 {
			return false
		}
	}
	return true
}

// erlangEscape returns the letter that follows the backslash when Erlang prints c, or 0 when c is
// printed as itself or not at all.
func erlangEscape(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\v':
		return 'v'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	case 0x1b:
		return 'e'
	}
	return 0
}
