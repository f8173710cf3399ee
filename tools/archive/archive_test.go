package archive

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/millrace-mq/millrace/segment"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

var (
	begin    = time.UnixMilli(1_767_366_245_123)
	someHead = Head{
		Writer: "millrace 0.1.0", Source: "millrace-data", Selection: "--queue q", Created: begin.Add(time.Hour),
		Content: Held, At: begin.Add(time.Minute), Queues: []string{"q", ""},
	}
	header = append([]byte{0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0x90, 0}, "\ntext/plain\x02"...)
)

// some are messages with everything and with nothing.
func some() []Message {
	return []Message{
		{
			LSN: 17, Time: begin, Flags: segment.FlagTransient, VHost: "/", Exchange: "orders", Key: "order.created.eu",
			Queues: []string{"shipping", "billing"}, Header: header, Body: []byte("hello"),
		},
		{Queues: []string{""}},
		{LSN: 1 << 60, Time: begin.Add(time.Second), VHost: "other", Key: "q", Queues: []string{"q"}, Header: header},
	}
}

func write(t testing.TB, head Head, messages []Message) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, head)
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if err := w.Write(&messages[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// blocks are n messages, each a block of its own.
func blocks(n int) []Message {
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Message{
			LSN: segment.LSN(i + 1), Time: begin, VHost: "/", Key: "q", Queues: []string{"q"}, Header: header,
			Body: bytes.Repeat([]byte{byte(i)}, fullBlock),
		}
	}
	return messages
}

// read reads an archive to its end and returns all messages, and all damage or the error that ended it.
func read(in io.Reader) (head Head, messages []Message, errs []error) {
	r, err := NewReader(in)
	if err != nil {
		return head, nil, []error{err}
	}
	for {
		m, err := r.Next()
		var damage *Damage
		switch {
		case err == io.EOF:
			return r.Head(), messages, errs
		case errors.As(err, &damage):
			errs = append(errs, err)
		case err != nil:
			return r.Head(), messages, append(errs, err)
		default:
			kept := *m
			kept.Queues = append([]string(nil), m.Queues...)
			kept.Header, kept.Body = bytes.Clone(m.Header), bytes.Clone(m.Body)
			messages = append(messages, kept)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for name, messages := range map[string][]Message{"none": nil, "some": some(), "large": blocks(5)} {
		t.Run(name, func(t *testing.T) {
			data := write(t, someHead, messages)
			head, got, errs := read(iotest.HalfReader(bytes.NewReader(data)))
			if len(errs) > 0 || !reflect.DeepEqual(head, someHead) || !reflect.DeepEqual(got, messages) {
				t.Errorf("head %+v, %d messages, errors %v", head, len(got), errs)
			}
		})
	}
}

func TestMessagesAreCompressedTogether(t *testing.T) {
	messages := make([]Message, 10_000)
	for i := range messages {
		messages[i] = some()[0]
	}
	if data := write(t, someHead, messages); len(data) > 20_000 {
		t.Errorf("%d messages of the same kind take %d octets", len(messages), len(data))
	}
}

func TestTheEndCountsWhatIsThere(t *testing.T) {
	r, err := NewReader(bytes.NewReader(write(t, someHead, some())))
	for err == nil {
		_, err = r.Next()
	}
	want := Totals{Messages: 3, BodyBytes: 5, First: 17, Last: 1 << 60, From: begin, To: begin.Add(time.Second)}
	if end, ok := r.Expected(); err != io.EOF || !ok || end != want || r.Totals() != want {
		t.Errorf("%v: %+v, want %+v", err, end, want)
	}
}

func TestAnArchiveThatWasCutOffIsNoticed(t *testing.T) {
	whole := write(t, someHead, blocks(2))
	for _, size := range []int{len(magic), len(magic) + 5, 100, len(whole) / 2, len(whole) - 30, len(whole) - 1} {
		_, _, errs := read(bytes.NewReader(whole[:size]))
		if len(errs) != 1 || !errors.Is(errs[0], ErrCutOff) {
			t.Errorf("%d of %d octets: %v", size, len(whole), errs)
		}
	}
	for _, text := range []string{"", "MRARCHV", "MRARCHV\x02 and more", "PK\x03\x04 something else"} {
		if _, _, errs := read(strings.NewReader(text)); len(errs) != 1 || !errors.Is(errs[0], ErrNotArchive) {
			t.Errorf("%q: %v", text, errs)
		}
	}
	broken := errors.New("broken pipe")
	in := io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), iotest.ErrReader(broken))
	if _, _, errs := read(in); len(errs) != 1 || !errors.Is(errs[0], broken) || errors.Is(errs[0], ErrCutOff) {
		t.Errorf("a stream that fails: %v", errs)
	}
}

// starts tells where the blocks of an archive begin.
func starts(data []byte) (at []int) {
	for i := len(magic); i < len(data); {
		b, _ := parseBlock(data[i:])
		at = append(at, i)
		i += blockHeadSize + int(b.stored)
	}
	return at
}

func TestDamageCostsTheMessagesOfItsBlock(t *testing.T) {
	messages := blocks(4)
	whole := write(t, someHead, messages) // head, four blocks, end
	at := starts(whole)
	for name, test := range map[string]struct {
		damage func(data []byte) []byte
		lost   []int
		want   []string
	}{
		"payload": {func(d []byte) []byte { d[at[2]+blockHeadSize+3] ^= 1; return d }, []int{1}, []string{"checksum mismatch"}},
		"head":    {func(d []byte) []byte { d[at[2]+blockStored] ^= 1; return d }, []int{1}, []string{"the head of a block is damaged"}},
		"two heads": {func(d []byte) []byte { d[at[2]] ^= 1; d[at[3]+blockOwnCRC] ^= 1; return d }, []int{1, 2}, []string{
			"the head of a block is damaged",
		}},
		"first and last": {func(d []byte) []byte { d[at[1]+40] ^= 1; d[at[4]+40] ^= 1; return d }, []int{0, 3}, []string{
			"checksum mismatch", "checksum mismatch",
		}},
		"block missing": {func(d []byte) []byte { return append(d[:at[2]], d[at[3]:]...) }, []int{1}, []string{
			"block 3 follows where block 2 should be",
		}},
		"last block missing": {func(d []byte) []byte { return append(d[:at[4]], d[at[5]:]...) }, []int{3}, []string{
			"block 5 follows where block 4 should be",
		}},
		"end": {func(d []byte) []byte { d[at[5]+blockHeadSize] ^= 1; return d }, nil, []string{"checksum mismatch", "cut off"}},
		"head of the end": {func(d []byte) []byte { d[at[5]] ^= 1; return d }, nil, []string{
			"the head of a block is damaged", "cut off",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got, errs := read(bytes.NewReader(test.damage(bytes.Clone(whole))))
			if len(errs) != len(test.want) {
				t.Fatalf("errors %v, want %q", errs, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(errs[i].Error(), want) {
					t.Errorf("error %q, want %q", errs[i], want)
				}
			}
			var kept []Message
			for i, m := range messages {
				if !slices.Contains(test.lost, i) {
					kept = append(kept, m)
				}
			}
			if !reflect.DeepEqual(got, kept) {
				t.Errorf("%d messages, want %d", len(got), len(kept))
			}
		})
	}
}

// Each octet of a small archive matters, and none that is wrong passes unnoticed.
func TestEachOctetIsChecked(t *testing.T) {
	whole := write(t, someHead, some())
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 0x10
		if _, _, errs := read(bytes.NewReader(data)); len(errs) == 0 {
			t.Errorf("octet %d of %d may be anything", i, len(whole))
		}
	}
}

// later writes an archive as a later version may: with fields and blocks that are not known today.
func later(t *testing.T, flags uint8) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, someHead)
	if err != nil {
		t.Fatal(err)
	}
	m := some()[0]
	message := protowire.AppendVarint(protowire.AppendTag(m.append(nil), 100, protowire.VarintType), 5)
	message = protowire.AppendFixed32(protowire.AppendTag(message, 101, protowire.Fixed32Type), 5)
	w.raw = appendText(w.raw, 99, "unknown")
	w.raw = appendText(w.raw, messagesMessage, message)
	w.totals.Add(&m)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	payload := []byte("something new")
	unknown := block{kind: 77, flags: flags, number: w.number, stored: uint32(len(payload)), raw: uint32(len(payload))}
	w.number++
	out.Write(checked(unknown, payload))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatALaterVersionAddsIsPassedOver(t *testing.T) {
	_, got, errs := read(bytes.NewReader(later(t, flagOptional)))
	if len(errs) > 0 || !reflect.DeepEqual(got, some()[:1]) {
		t.Errorf("%d messages, errors %v", len(got), errs)
	}
	_, got, errs = read(bytes.NewReader(later(t, 0)))
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "a block of the type 77, which only a newer version reads") || len(got) != 1 {
		t.Errorf("%d messages, errors %v", len(got), errs)
	}
}

func TestFormatIsTheDocumentedOne(t *testing.T) {
	data := write(t, someHead, some())
	var text strings.Builder
	for i, from := range starts(data) {
		b, ok := parseBlock(data[from:])
		raw, err := mustDecoder(t).DecodeAll(data[from+blockHeadSize:][:b.stored], nil)
		fmt.Fprintf(&text, "block %d type %d flags %d sound %v %v\n%s", i, b.kind, b.flags, ok, err, hex.Dump(raw))
	}
	golden(t, "some.txt", []byte(text.String()))
}

// What this version wrote once is read for ever, however the compressor's output changes.
func TestGoldenArchiveIsStillReadable(t *testing.T) {
	path := filepath.Join("testdata", "some.archive")
	if *update {
		if err := os.WriteFile(path, write(t, someHead, some()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, got, errs := read(bytes.NewReader(data))
	if len(errs) > 0 || !reflect.DeepEqual(head, someHead) || !reflect.DeepEqual(got, some()) {
		t.Errorf("head %+v, messages %+v, errors %v", head, got, errs)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; what exists must stay readable, see docs/archive.md\n%s", name, got)
	}
}
