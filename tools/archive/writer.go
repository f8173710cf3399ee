package archive

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Writer writes an archive. What was written is a whole one only when Close has returned nil.
type Writer struct {
	out     io.Writer
	encoder *zstd.Encoder
	number  uint32 // of the next block
	raw     []byte // messages of the block being filled
	message []byte
	stored  []byte // memory of what is written
	totals  Totals
	err     error // of the stream; nothing is written after it
}

// messagesMessage is the field of a block of messages that holds one.
const messagesMessage protowire.Number = 1

// NewWriter begins an archive on a stream.
func NewWriter(out io.Writer, head Head) (*Writer, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	w := &Writer{out: out, encoder: encoder}
	if _, err := io.WriteString(out, magic); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return w, w.block(typeHead, head.append(nil))
}

// Write adds a message; nothing of it is kept.
func (w *Writer) Write(m *Message) error {
	if w.err != nil {
		return w.err
	}
	size := m.size()
	if size > maxBlock-blockHeadSize {
		return fmt.Errorf("archive: message of record %d: %d octets are too many", m.LSN, size)
	}
	if len(w.raw) > 0 && len(w.raw)+size > fullBlock {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.message = m.append(w.message[:0])
	w.raw = appendText(w.raw, messagesMessage, w.message)
	w.totals.Add(m)
	return nil
}

// Totals count what was written so far.
func (w *Writer) Totals() Totals { return w.totals }

// Close ends the archive with a count of what it holds. It does not close the stream.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.block(typeEnd, w.totals.append(nil)); err != nil {
		return err
	}
	w.err = errors.New("archive: it has been ended")
	return w.encoder.Close()
}

func (w *Writer) flush() error {
	if w.err != nil || len(w.raw) == 0 {
		return w.err
	}
	err := w.block(typeMessages, w.raw)
	w.raw = w.raw[:0]
	if cap(w.raw) > 4*fullBlock {
		w.raw, w.message, w.stored = nil, nil, nil // they had a very large message
	}
	return err
}

// block writes a block: head and payload with one write.
func (w *Writer) block(kind uint8, raw []byte) error {
	w.stored = append(w.stored[:0], make([]byte, blockHeadSize)...)
	w.stored = w.encoder.EncodeAll(raw, w.stored)
	payload := w.stored[blockHeadSize:]
	b := block{
		kind: kind, flags: flagZstd, number: w.number,
		stored: uint32(len(payload)), raw: uint32(len(raw)), crc: crc32.Checksum(payload, castagnoli),
	}
	b.append(w.stored[:0])
	w.number++
	if _, err := w.out.Write(w.stored); err != nil {
		w.err = fmt.Errorf("archive: %w", err)
	}
	return w.err
}
