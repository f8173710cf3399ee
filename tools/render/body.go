package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// body is a message's body as it is shown.
type body struct {
	octets []byte // borrowed from the record or the decoders, until the next one
	json   bool   // with decoding: octets are JSON, as its content type says
	note   string // what could not be done; empty if all is well
}

// bodies decodes. Its decoders and memory are used again.
type bodies struct {
	limit   int
	gzip    *gzip.Reader
	zstd    *zstd.Decoder
	decoded [2]bytes.Buffer // one is read while the other is written
}

// errLimit says that a decoded body is longer than it may be.
var errLimit = errors.New("longer than the limit")

func (r *Renderer) body(p *segment.Publish) body {
	if !r.cfg.Decode {
		return body{octets: p.Body}
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		return body{octets: p.Body, note: "not decoded: " + err.Error()}
	}
	return r.bodies.decode(string(header.Shortstr(amqp.PropertyContentType)),
		string(header.Shortstr(amqp.PropertyContentEncoding)), p.Body)
}

// decode undoes the content encodings, the last one first. What cannot be decoded is left as it is, with a note;
// what is too long is cut.
func (b *bodies) decode(contentType, contentEncoding string, octets []byte) body {
	out := body{octets: octets}
	encodings := strings.Split(contentEncoding, ",")
	for i := len(encodings) - 1; i >= 0; i-- {
		encoding := strings.ToLower(strings.TrimSpace(encodings[i]))
		into := &b.decoded[i&1]
		into.Reset()
		switch err := b.undo(encoding, out.octets, into); {
		case errors.Is(err, errNoEncoding):
			continue
		case errors.Is(err, errLimit):
			out.octets = into.Bytes()[:b.limit]
			out.note = fmt.Sprintf("cut: %s decodes to more than %d octets", encoding, b.limit)
			return out
		case err != nil:
			out.note = fmt.Sprintf("not decoded: %s: %s", encoding, err)
			return out
		}
		out.octets = into.Bytes()
	}
	out.json = isJSON(contentType) && json.Valid(out.octets)
	return out
}

// errNoEncoding is for names that change nothing: many programs give that of a character set.
var errNoEncoding = errors.New("no encoding")

func (b *bodies) undo(encoding string, octets []byte, into *bytes.Buffer) error {
	var from io.Reader
	switch encoding {
	case "gzip", "x-gzip":
		if b.gzip == nil {
			b.gzip = new(gzip.Reader)
		}
		if err := b.gzip.Reset(bytes.NewReader(octets)); err != nil {
			return err
		}
		from = b.gzip
	case "zstd":
		if b.zstd == nil {
			var err error
			// A frame may ask for a window of any size; this one also bounds what a small frame makes us allocate.
			if b.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(max(zstd.MinWindowSize, 64<<20))); err != nil {
				return err
			}
		}
		if err := b.zstd.Reset(bytes.NewReader(octets)); err != nil {
			return err
		}
		from = b.zstd
	case "deflate":
		// The name means zlib's format; some programs send the bare one.
		if r, err := zlib.NewReader(bytes.NewReader(octets)); err == nil {
			from = r
		} else {
			from = flate.NewReader(bytes.NewReader(octets))
		}
	default:
		return errNoEncoding
	}
	if _, err := io.Copy(into, io.LimitReader(from, int64(b.limit)+1)); err != nil {
		return err
	}
	if into.Len() > b.limit {
		return errLimit
	}
	return nil
}

// isJSON reports whether a content type says JSON: application/json, application/vnd.x+json and the like.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json"))
}
