package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

var (
	// ErrNotArchive is the error of a stream that does not begin as an archive does.
	ErrNotArchive = errors.New("not an archive of messages, or one of another version")
	// ErrCutOff is the error of an archive that has no end.
	ErrCutOff = errors.New("cut off: the end of the archive is missing")

	errMalformed = errors.New("malformed fields")
)

// Damage is the error for a part of an archive that cannot be read. The Reader goes on behind it when it is asked for the
// next message.
type Damage struct {
	Offset int64  // where the damaged block begins
	Reason string // in words
}

// Error tells where the damage is and what it is.
func (d *Damage) Error() string { return fmt.Sprintf("archive damaged at %d: %s", d.Offset, d.Reason) }

// Reader reads an archive from a stream.
type Reader struct {
	in      *bufio.Reader
	decoder *zstd.Decoder
	head    Head
	totals  Totals // of what was read
	end     Totals // as the end states them
	ended   bool
	damaged bool // something has been passed over
	offset  int64
	next    uint32 // number of the block that is to come
	stored  bytes.Buffer
	raw     []byte // of the block
	rest    []byte // of raw
	at      int64  // where the block began
	message Message
	names   names
	failed  error // for good
}

// NewReader begins to read an archive: its head has been read when it returns.
func NewReader(in io.Reader) (*Reader, error) {
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	r := &Reader{in: bufio.NewReaderSize(in, 256<<10), decoder: decoder, names: names{}}
	begin := make([]byte, len(magic))
	if n, err := io.ReadFull(r.in, begin); err != nil && !atEnd(err) {
		return nil, fmt.Errorf("archive: %w", err)
	} else if n < len(magic) || string(begin) != magic {
		return nil, ErrNotArchive
	}
	r.offset = int64(len(magic))
	b, err := r.block()
	if err == nil && b.kind != typeHead {
		err = &Damage{r.at, "the archive does not begin with its head"}
	}
	if err == nil && r.head.decode(r.raw) != nil {
		err = &Damage{r.at, "the archive's head cannot be read"}
	}
	return r, err
}

// Head says what the archive is.
func (r *Reader) Head() Head { return r.head }

// Totals count what was read so far.
func (r *Reader) Totals() Totals { return r.totals }

// Next returns the next message, which holds until Next is called again. io.EOF says that there is no more, and that all
// that the archive's end counts was there. A [*Damage] is for a part that cannot be read; call Next again to go on behind
// it. Other errors, among them [ErrCutOff], end it.
func (r *Reader) Next() (*Message, error) {
	for r.failed == nil {
		if len(r.rest) == 0 {
			if err := r.advance(); err != nil {
				return nil, err
			}
			continue
		}
		number, kind, n := protowire.ConsumeTag(r.rest)
		if n < 0 {
			return nil, r.spoiled()
		}
		size := protowire.ConsumeFieldValue(number, kind, r.rest[n:])
		if size < 0 {
			return nil, r.spoiled()
		}
		value := r.rest[n : n+size]
		r.rest = r.rest[n+size:]
		if number != messagesMessage {
			continue
		}
		data, n := protowire.ConsumeBytes(value)
		if n < 0 || kind != protowire.BytesType || r.message.decode(data, r.names) != nil {
			return nil, r.spoiled()
		}
		r.totals.Add(&r.message)
		return &r.message, nil
	}
	return nil, r.failed
}

// spoiled gives up what is left of a block whose checksum holds, but not what it says.
func (r *Reader) spoiled() error {
	r.rest, r.damaged = nil, true
	return &Damage{r.at, "its messages cannot be read"}
}

// advance reads the next block. One behind a gap is used, and then the gap is told of.
func (r *Reader) advance() error {
	expected := r.next
	b, err := r.block()
	if err != nil {
		return err
	}
	if b.number != expected {
		r.damaged = true
		err = &Damage{r.at, fmt.Sprintf("block %d follows where block %d should be", b.number, expected)}
	}
	switch b.kind {
	case typeMessages:
		r.rest = r.raw
	case typeHead:
		err = &Damage{r.at, "a second head"}
	case typeEnd:
		if r.end.decode(r.raw) != nil {
			r.damaged = true
			return &Damage{r.at, "the count at its end cannot be read"}
		}
		r.ended, r.failed = true, io.EOF
		if r.totals != r.end && !r.damaged {
			r.failed = fmt.Errorf("archive: its end counts %d messages, but %d are there", r.end.Messages, r.totals.Messages)
		}
	default:
		if b.flags&flagOptional == 0 {
			r.failed = fmt.Errorf("archive at %d: a block of the type %d, which only a newer version reads", r.at, b.kind)
		}
	}
	return err
}

// Expected counts what the archive's end says that it holds; ok is false while the end has not been read.
func (r *Reader) Expected() (t Totals, ok bool) { return r.end, r.ended }

// block reads the next block to raw.
func (r *Reader) block() (block, error) {
	r.at = r.offset
	head, err := r.in.Peek(blockHeadSize)
	if err != nil {
		return block{}, r.cutOff(err)
	}
	b, ok := parseBlock(head)
	if !ok {
		return block{}, r.search()
	}
	r.discard(blockHeadSize)
	r.stored.Reset()
	n, err := io.CopyN(&r.stored, r.in, int64(b.stored)) // grows with what is there, not with what was said
	r.offset += n
	if err != nil {
		return block{}, r.cutOff(err)
	}
	r.next = b.number + 1
	reason := ""
	switch {
	case crc32.Checksum(r.stored.Bytes(), castagnoli) != b.crc:
		reason = "checksum mismatch"
	case b.flags&^knownFlags != 0:
		reason = "flags of a newer version"
	case b.flags&flagZstd == 0:
		r.raw = append(r.raw[:0], r.stored.Bytes()...)
	default:
		if r.raw, err = r.decoder.DecodeAll(r.stored.Bytes(), r.raw[:0]); err != nil {
			reason = err.Error()
		}
	}
	if reason == "" && len(r.raw) != int(b.raw) {
		reason = fmt.Sprintf("%d octets where %d should be", len(r.raw), b.raw)
	}
	if reason != "" {
		r.damaged = true
		return block{}, &Damage{r.at, reason}
	}
	return b, nil
}

// search goes to the next head that is sound.
func (r *Reader) search() error {
	r.damaged = true
	damage := &Damage{r.at, "the head of a block is damaged"}
	for {
		r.discard(1)
		some, err := r.in.Peek(r.in.Size())
		if err != nil && !atEnd(err) {
			r.failed = fmt.Errorf("archive: %w", err)
			return r.failed
		}
		next := bytes.Index(some, []byte(beginning))
		switch {
		case next >= 0 && len(some)-next >= blockHeadSize:
			r.discard(next)
			if b, ok := parseBlock(some[next:]); ok {
				r.next = b.number // what is missing has been told of
				return damage
			}
		case len(some) < blockHeadSize || err != nil:
			r.discard(len(some))
			return damage // the next call finds the end missing
		case next >= 0:
			r.discard(next - 1)
		default:
			r.discard(len(some) - len(beginning))
		}
	}
}

func (r *Reader) discard(n int) {
	n, _ = r.in.Discard(max(n, 0)) // it is in the buffer
	r.offset += int64(n)
}

// cutOff is the error for a stream that ends before the archive does.
func (r *Reader) cutOff(err error) error {
	r.failed = fmt.Errorf("archive: %w", err)
	if atEnd(err) {
		r.failed = fmt.Errorf("archive: %w: it stops at %d, after %d messages", ErrCutOff, r.at, r.totals.Messages)
	}
	return r.failed
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
