// Package wal is one shard's commit log.
//
// It answers what was written, in what order, and whether it is safe: it appends batches of records
// to segment files, syncs them, finds them again by number or time, and after a crash finds where
// the log ends. The broker appends and reads through a Log; tools read through a Reader, beside a running broker too,
// and verify.
//
// It refuses to know what records mean, who still needs them (it is told a floor, see Log.Retire),
// and anything of AMQP. A Log never repairs what was synced and never deletes what it does not know; Mend, which an
// operator asks for, replaces what is damaged and keeps it aside.
//
// # Goroutines
//
// Start makes three, Close ends them. The syncer syncs whatever was appended while its last sync ran
// (group commit, no timer) and calls OnSynced and OnFailure. The keeper makes spare segments ahead
// and seals the ones that rotation left. The cooler takes what was read out of the process's memory.
//
// Any goroutine may append and ask; a View or a Cursor has one user at a time. Appends are ordered by
// one mutex, which is never held across a sync; an append that needs a segment when no spare is ready
// waits for the keeper with the mutex open.
//
// # Readers beside a log
//
// A Reader has no lock, no goroutine and writes nothing. It shares files, tables, views and cursors with Log, but not what
// Log may rely on, that nobody else writes: a file of its list may be retired, relocated or used again at any moment.
// This is why it never shows a wrong record:
//
//   - A record is copied, then its copy proves by number and checksum that it is the one. No number is given out twice, so
//     what another use of the file has written there is no record that was asked for. Old-generation files are only ever
//     removed, never written again.
//   - A file loses its name, and the directory is synced, before any byte of it is overwritten. So where something does
//     not fit, or has just been read to learn of a file, a look at the name tells damage from a file that was given up.
//   - The file that stands for others has its name before they lose theirs. So a directory is listed until nothing is
//     missing in it, or two listings are the same, and what is missing then is missing.
//   - The end is behind the last batch that is whole. A batch that is being written is taken in by a later Refresh. Batches
//     that are not synced yet are shown: a power cut may take them back.
//
// # A full disk
//
// When there is no room to make a file for the next segment, Append fails with ErrFull and nothing is written; the
// same batch may be appended again when there is room. One spare is a reserve that only batches that are
// vital may take: those that make room, and those that cannot be refused.
//
// Want of descriptors or of memory counts as a full disk. Any other error in making the file stops the log, as that
// of a write does.
//
// # Files
//
//	00000000000000000001.seg                   a segment, named by its first record
//	<first>-<last>.old                         an old-generation file: what relocation let survive of these records
//	<first>-<last>.retired                     files with these records are being given up, this one last
//	spare-3.seg                                zeroed or used blocks, waiting to become a segment
//	00000000000000000900.seg.dropped-<epoch>   set aside by a recovery: behind the end of the log
//
// # Copies
//
// CopyTo copies the log while it is appended to, by hard links where it can. Between Hold and its release no file is
// given up. What has a second name is deleted instead of being used again, so a copy never changes.
//
// # Why a crash is safe
//
// A record is declared synced once fdatasync of its segment, of every segment before it and, for a
// new segment, of the directory have returned. Each batch carries the watermark of its time, so what
// is on disk tells how much of it was promised. Recovery reads the unsealed segments and looks for
// damage: a batch past the highest watermark found was promised to nobody, and if it is bad the log
// ends before it; at or below the watermark, damage is the medium's, the record is quarantined and
// reported, and all after it is kept. Nothing that was synced is ever truncated.
//
// Start always begins a new segment, so torn bytes are never overwritten. A footer is written only
// once its segment is synced, so a segment with a sound footer needs no reading: Open takes the footer's head, of
// fixed size, and the tables behind it are made anew when they lead astray. Each footer is synced before the next is
// written, so a power cut tears the newest at most, whose tables Open checks; Start writes it anew. A spare becomes a
// segment by a header write and a rename; a crash in between leaves a spare, or a file without
// header that recovery takes for never used. A used file becomes a spare by a rename that is on disk
// before its header is wiped. Files of which one has the catalogue of another are given up by one rename, which tells of
// all of them: see retireTogether. A catalogue counts once it is synced; one behind which nothing was written may have
// been cut short by a crash, and its file is said to need an older one.
//
// Relocation writes its file under a name that recovery removes, syncs it, asks whether it may go on, renames it
// and syncs the directory; only then the files that it replaces go. A crash leaves them, or both, or the new
// file: Open reads a new file beside old ones to the last record, and takes it if it is sound, else them. A failed
// write or sync of the unnamed file abandons the relocation and nothing else.
//
// Assumptions: fdatasync means it; a file system keeps renames in one directory in order; a failed
// fdatasync is reported to the descriptor that asks next. A failed write or fdatasync stops the log
// for good; it is never retried.
//
// # Example
//
//	l, err := wal.Open(wal.Config{Dir: dir})
//	// replay l.Cursor(mark + 1) ...
//	err = l.Start()
//	err = l.Append(&batch, func(first segment.LSN) { apply(first) })
//	err = l.SyncTo(ctx, l.Last())
//
// And beside it, in another process:
//
//	r, err := wal.OpenReader(dir)
//	c := r.Cursor(r.Find(since))
//	for c.Next() { show(c.LSN(), c.Time(), c.Record()) }
//	// what was not there yet: r.Refresh(), and c.Next() again
package wal
