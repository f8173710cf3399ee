package render

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEncoderLeavesNoControls(t *testing.T) {
	for _, text := range []string{"plain", "\u009b31m red", "Â \u0080\u009f é 日本 \U0001f600", "\x1b[0m", "quote \" and \u00a0"} {
		var out bytes.Buffer
		if err := NewEncoder(&out).Encode(text); err != nil {
			t.Fatal(err)
		}
		for _, char := range out.String() {
			if isC1(char) || char < ' ' && char != '\n' {
				t.Errorf("%q has %U", out.String(), char)
			}
		}
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != text {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	}
}
