package archive

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestDocumentIsTrue holds docs/archive.md against the constants: each line must stand there as it is written here.
func TestDocumentIsTrue(t *testing.T) {
	page, err := os.ReadFile("../../docs/archive.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for offset, row := range map[int]string{
		blockMagic: "4 bytes | beginning, B7 4D 52 42 |", blockType: "u8 | type |", blockFlags: "u8 | flags |", blockZero: "u16 | zero |",
		blockNumber: "u32 | number", blockStored: "u32 | stored length", blockRaw: "u32 | raw length", blockCRC: "u32 | checksum of the payload",
		blockOwnCRC: "u32 | checksum of the 24 bytes before |", blockHeadSize: "| the payload |",
	} {
		want = append(want, fmt.Sprintf("| %d | %s", offset, row))
	}
	for kind, row := range map[int]string{typeHead: "head |", typeMessages: "messages |", typeEnd: "end |"} {
		want = append(want, fmt.Sprintf("| %d | %s", kind, row))
	}
	for flag, row := range map[int]string{flagZstd: "zstd |", flagOptional: "optional |"} {
		want = append(want, fmt.Sprintf("| %d | %s", flag, row))
	}
	for _, f := range []struct {
		field  string
		number protowire.Number
	}{
		{"string writer", headWriter},
		{"string source", headSource},
		{"string selection", headSelection},
		{"int64 created", headCreated},
		{"Content content", headContent},
		{"int64 at", headAt},
		{"repeated string queue", headQueue},
		{"repeated Message message", messagesMessage},
		{"uint64 lsn", messageLSN},
		{"int64 time", messageTime},
		{"uint32 flags", messageFlags},
		{"bytes vhost", messageVHost},
		{"bytes exchange", messageExchange},
		{"bytes routing_key", messageKey},
		{"repeated bytes queue", messageQueue},
		{"bytes header", messageHeader},
		{"bytes body", messageBody},
		{"uint64 messages", endMessages},
		{"uint64 body_bytes", endBodyBytes},
		{"uint64 first", endFirst},
		{"uint64 last", endLast},
		{"int64 from", endFrom},
		{"int64 to", endTo},
		{"RECORDS", protowire.Number(Records)},
		{"HELD", protowire.Number(Held)},
	} {
		want = append(want, fmt.Sprintf("  %s = %d;", f.field, f.number))
	}
	for _, line := range want {
		if !bytes.Contains(page, []byte("\n"+line)) {
			t.Errorf("docs/archive.md has no line %q", line)
		}
	}
}

func FuzzReader(f *testing.F) {
	whole := write(f, someHead, some())
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(magic))
	f.Add(append([]byte(magic), checked(block{kind: typeHead}, nil)...))
	f.Add(append([]byte(magic), checked(block{kind: typeHead, stored: 1 << 29, raw: 1 << 29}, nil)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, messages, _ := read(bytes.NewReader(data))
		if len(messages) > len(data)*1000 {
			t.Errorf("%d messages of %d octets", len(messages), len(data))
		}
	})
}

// FuzzBlocks lets the checksums fit, so that what is in blocks is read.
func FuzzBlocks(f *testing.F) {
	f.Add(uint8(typeMessages), appendText(nil, messagesMessage, some()[0].append(nil)))
	f.Add(uint8(typeEnd), []byte{8, 1})
	f.Add(uint8(77), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		var out bytes.Buffer
		out.WriteString(magic)
		out.Write(checked(block{kind: typeHead}, nil))
		out.Write(checked(block{kind: kind, number: 1}, payload))
		out.Write(checked(block{kind: typeEnd, number: 2}, nil))
		_, _, errs := read(&out)
		for _, err := range errs {
			if err == io.EOF || strings.TrimSpace(err.Error()) == "" {
				t.Errorf("error %q", err)
			}
		}
	})
}

// checked returns a block with the checksums that fit.
func checked(b block, payload []byte) []byte {
	b.crc = crc32.Checksum(payload, castagnoli)
	b.stored, b.raw = max(b.stored, uint32(len(payload))), max(b.raw, uint32(len(payload)))
	return append(b.append(nil), payload...)
}

func mustDecoder(t *testing.T) *zstd.Decoder {
	t.Helper()
	d, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}
