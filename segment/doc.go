// Package segment says what the bytes of one log file are.
//
// It holds the record number (LSN), the layouts of header, batch, record, payloads, footer and
// trailer, the builder and the decoders for them, the scan that goes past damage, and the read-only
// mapping with its leases. docs/format.md has the layouts byte by byte.
//
// It refuses to open, create, name or delete files, to know of other files, of what queues or
// topology mean, and to decide where a log ends: it finds damage and offers the cut (Scan.Cut), the
// log applies it. Package wal writes and reads segments through it; index, queue, broker and tools
// use its types and decoders.
//
// It starts no goroutine. A Batch has one user at a time; Offsets has one writer and any readers;
// Mapping, Footer and Record may be used by any number of goroutines that hold a lease.
//
// # Layout
//
//	0        header, one page: magic, version, features, shard, epoch, base record number, checksum
//	4096     batches, each: header of 72 bytes, then its records, each padded to eight bytes
//	end      zeros, or stale bytes of a former use of the file
//	n        footer: places of all records, route-set records, summary
//	size-64  trailer: where the footer is, checksums
//
// An old-generation file (OldWriter, OldFooter, ScanOld) holds what relocation let survive of a range of records:
//
//	0        header, one page: magic, version, features, shard, epoch, first and last record number, checksum
//	4096     blocks: a header of 72 bytes, then records compressed together
//	n        footer: places of all blocks and records, summary
//	size-64  trailer
//
// # Why a crash is safe
//
// The header is written before anything else and alone in its page. A batch is one write; its header's
// checksum covers the length and checksum of each of its records, and each record's checksum covers
// the record, so a batch that was cut short anywhere is told from a whole one. Bytes of a former use
// carry another epoch, whose low half is random: neither old bytes nor bytes that a client sent pass
// for a batch. Footer and trailer are written once the data is synced and only save a scan. An
// old-generation file counts only when it is whole, which wal sees to.
//
// # Example
//
//	var b segment.Batch
//	b.BeginPublish(segment.PublishHead{Queues: []segment.QueueID{7}, Keys: keys, Header: header, BodySize: len(body)})
//	b.AppendBody(body)
//	b.EndPublish()
//	bytes := b.Seal(1, epoch, nowMs, 0)
package segment
