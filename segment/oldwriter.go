package segment

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// OldWriter builds an old-generation file: records are added in the order of their numbers, what is finished
// is taken with Take and written one piece behind the other, and Finish adds the footer. It keeps twelve bytes
// a record and a block or two in memory. One user at a time.
type OldWriter struct {
	header  OldHeader
	encoder *zstd.Encoder
	at      int64  // where out begins in the file
	out     []byte // finished, not taken
	raw     []byte // records of the open block
	table   oldTable
	last    LSN   // added last
	lastMs  int64 // its time
	open    int   // records of the table before the open block
	scratch []QueueID
}

// NewOldWriter starts a file; its header is the first thing to take.
func NewOldWriter(h OldHeader) (*OldWriter, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	return &OldWriter{header: h, encoder: encoder, out: AppendOldHeader(nil, h)}, nil
}

// Add adds a record as it is. timeMs is when the log took it in, which must not decrease.
func (w *OldWriter) Add(r Record, timeMs int64) error {
	if err := w.begin(r, timeMs); err != nil {
		return err
	}
	start := len(w.raw)
	w.raw = append(w.raw, r...)
	w.end(start, r.LSN(), timeMs)
	return nil
}

// AddPublish adds a publish with the queues that it is left for written into it.
func (w *OldWriter) AddPublish(r Record, queues []QueueID, timeMs int64) error {
	publish, err := r.Publish()
	if err != nil {
		return err
	}
	if w.scratch, err = publish.AppendQueues(w.scratch[:0]); err != nil {
		return err
	}
	if _, interned := publish.Set(); !interned && slices.Equal(w.scratch, queues) {
		return w.Add(r, timeMs)
	}
	if err := w.begin(r, timeMs); err != nil {
		return err
	}
	start := len(w.raw)
	w.raw = appendRerouted(w.raw, r, publish, queues)
	if len(w.raw)-start > MaxRecord {
		w.raw = w.raw[:start]
		return fmt.Errorf("%w: record %d with %d queues", ErrTooLarge, r.LSN(), len(queues))
	}
	w.end(start, r.LSN(), timeMs)
	return nil
}

// appendRerouted appends a publish record with another route, and a new checksum.
func appendRerouted(dst []byte, r Record, p Publish, queues []QueueID) []byte {
	start := len(dst)
	dst = append(dst, r[:RecordHeaderSize+publishFixed]...)
	route := len(dst)
	dst = appendRoute(dst, queues)
	binary.LittleEndian.PutUint32(dst[start+RecordHeaderSize+publishRoute:], uint32(len(dst)-route))
	dst = append(dst, p.Keys...)
	dst = append(dst, p.Header...)
	dst = append(dst, p.Body...)
	record := dst[start:]
	binary.LittleEndian.PutUint32(record[recordLength:], uint32(len(record)))
	binary.LittleEndian.PutUint32(record[recordCRC:], Record(record).checksum())
	return dst
}

// begin checks that r can come next, and opens a new block when the open one is full or cannot express it.
func (w *OldWriter) begin(r Record, timeMs int64) error {
	lsn := r.LSN()
	if lsn <= w.last || lsn < w.header.First || lsn > w.header.Last || timeMs < w.lastMs {
		return fmt.Errorf("old-generation file: record %d of %d ms cannot follow record %d of %d ms", lsn, timeMs, w.last, w.lastMs)
	}
	if w.table.records() == w.open {
		w.table.begin(lsn, timeMs)
		return nil
	}
	block := w.table.blocks[len(w.table.blocks)-1]
	if len(w.raw)+len(r) > blockTarget || lsn-block.First > math.MaxUint32 || timeMs-block.MinTime > math.MaxUint32 {
		w.closeBlock(false)
		w.table.begin(lsn, timeMs)
	}
	return nil
}

func (w *OldWriter) end(start int, lsn LSN, timeMs int64) {
	for len(w.raw)&7 != 0 {
		w.raw = append(w.raw, 0)
	}
	w.table.add(lsn, timeMs, start)
	w.last, w.lastMs = lsn, timeMs
}

// closeBlock compresses the open block; final says that it is the file's last.
func (w *OldWriter) closeBlock(final bool) {
	start := len(w.out)
	w.out = append(w.out, make([]byte, blockHeaderSize)...)
	w.out = w.encoder.EncodeAll(w.raw, w.out)
	block := &w.table.blocks[len(w.table.blocks)-1]
	block.Offset = w.at + int64(start+blockHeaderSize)
	block.Compressed = len(w.out) - start - blockHeaderSize
	block.Raw, block.CRC = len(w.raw), checksum(w.raw)
	block.Count = w.table.records() - w.open
	p := w.out[start:]
	binary.LittleEndian.PutUint32(p, blockMagic)
	binary.LittleEndian.PutUint64(p[blockEpoch:], w.header.Epoch)
	binary.LittleEndian.PutUint64(p[blockFirst:], uint64(block.First))
	binary.LittleEndian.PutUint64(p[blockLast:], uint64(w.last))
	binary.LittleEndian.PutUint64(p[blockMin:], uint64(block.MinTime))
	binary.LittleEndian.PutUint64(p[blockMax:], uint64(w.lastMs))
	binary.LittleEndian.PutUint32(p[blockCompressed:], uint32(block.Compressed))
	binary.LittleEndian.PutUint32(p[blockRaw:], uint32(block.Raw))
	binary.LittleEndian.PutUint32(p[blockRawCRC:], block.CRC)
	binary.LittleEndian.PutUint32(p[blockCount:], uint32(block.Count))
	if final {
		binary.LittleEndian.PutUint32(p[blockFlags:], blockFinal)
	}
	binary.LittleEndian.PutUint32(p[blockCRC:], checksum(p[blockEpoch:blockHeaderSize]))
	for len(w.out)&7 != 0 {
		w.out = append(w.out, 0)
	}
	w.raw, w.open = w.raw[:0], w.table.records()
	if cap(w.raw) > keepBytes {
		w.raw = nil
	}
}

// Take returns the bytes that are finished, and where they belong in the file. They hold until the writer is
// used again.
func (w *OldWriter) Take() (bytes []byte, at int64) {
	bytes, at = w.out, w.at
	w.at += int64(len(bytes))
	w.out = w.out[:0]
	if cap(w.out) > keepBytes {
		w.out = nil
	}
	return bytes, at
}

// Finish closes the last block and adds footer and trailer. The times are those of the batches that the file
// stands for, ms. Nothing may be added behind it.
func (w *OldWriter) Finish(minTime, maxTime int64) {
	if w.table.records() > w.open {
		w.closeBlock(true)
	}
	at := w.at + int64(len(w.out))
	w.out = w.table.appendFooter(w.out, w.header, minTime, maxTime, at)
}
