package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// NewEncoder is an encoder of JSON for a terminal: one object a line, in which no character is one of those controls
// from U+0080 to U+009F that encoding/json leaves as they are and some terminals obey.
func NewEncoder(out io.Writer) *json.Encoder { return json.NewEncoder(harmless{out}) }

// harmless writes what it is given with those controls escaped. In JSON they stand in strings only; a write of the
// encoder is a whole value.
type harmless struct{ to io.Writer }

func (h harmless) Write(text []byte) (int, error) {
	const first = 0xc2 // of the two bytes of each
	if bytes.IndexByte(text, first) < 0 {
		return h.to.Write(text)
	}
	var out bytes.Buffer
	for _, char := range string(text) { // it is UTF-8: the encoder has seen to that
		if isC1(char) {
			fmt.Fprintf(&out, "\\u%04x", char)
		} else {
			out.WriteRune(char)
		}
	}
	if _, err := h.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}
