// Package index answers one question: who still needs which record?
//
// A queue is an index over the log: a sequence of entries, each the number of a
// record (LSN), the size of its body and perhaps a deadline. The log is the truth,
// and the index is a view of it that can be thrown away and rebuilt by a replay. A
// Store keeps that view in Pebble as of a checkpoint and says, as its mark, up to
// which record the view is complete; a Queue is the live form of one queue and
// never touches the disk except to page a chunk in.
//
// It refuses to know what a message is: bodies, files, consumers, names and clocks
// are other packages' business. It deletes nothing that it cannot read: it reports
// ErrCorrupt, and the caller decides to delete the folder and replay the log.
//
// # Callers and goroutines
//
// The broker calls it. A Queue is not safe for concurrent use: the lock of its
// owner guards it. A Store is safe for concurrent use. A Checkpoint is used by one
// goroutine at a time; its Queue method is called under the lock of the queue's
// owner and only copies, its Commit is called without locks and does the encoding
// and the I/O. The package starts no goroutine; Pebble starts its own (log
// flusher, compactions, deletion of files) and ends them in Close.
//
// Pebble cannot go on after its manifest could not be written. That happens on its
// own goroutine and ends the process with a panic that names the cause; nothing is
// lost by it, since the log holds everything. A failed Commit is returned, and is
// permanent: every later Commit returns it too, while queues keep working from the
// last good checkpoint.
//
// # Use
//
//	store, err := index.Open(index.Config{Dir: dir, Logger: log})
//	q, err := store.LoadQueue(7)
//	q.Push(index.Item{LSN: lsn, Size: size}) // replay of the log from store.Mark()
//	q.Recover(false)
//	entry, ok := q.Next()                    // deliver entry.LSN
//	q.Settle(entry.Position)                 // acknowledged
//	entry, ok = q.Due(now)                   // expired: to be settled as well
//
//	c := store.Checkpoint()
//	c.Queue(q)                               // under the lock of q's owner
//	err = c.Commit(mark)
//
// # Chunks
//
// Entries live in chunks of up to 4096. A position is a chunk's number times 4096
// plus the slot. Numbers grow and are never used twice, so a position held by a
// consumer names its entry for ever; they need not be dense: a chunk ends early
// when its LSNs span more than 32 bits, when the queue runs empty and when it is
// loaded, so that what is stored of a sealed chunk never changes.
//
// Of each chunk a small struct (its directory entry: range of LSNs, counts, bytes)
// is always resident. Its page (entries and bitmaps) is resident while it holds
// what no checkpoint has stored, and for the open chunk, the chunk under the
// cursor and a few that were touched last; otherwise it is read when needed. So
// 100 million entries of backlog cost a few MB of memory, and counts, head and
// recovery read no page.
//
// Deadlines are a column of the page that only chunks with deadlines have, and the
// directory entry has the least of them. So a search for what is due pages in only
// chunks where something is, wherever they are in the backlog. Least deadlines are
// lower bounds while entries leave, since deadlines come in any order, and are made
// exact when that is cheap: when Due has gone through a chunk, when it is paged out,
// when it is copied for a checkpoint. A queue is told its deadlines when entries are
// pushed; Retime replaces those of a chunk as a whole, which is then stored anew.
//
// The ready bitmap is not stored: what is live is ready after a restart. A page
// with entries in flight therefore keeps its bitmaps (1 KiB) in memory, and counts of
// returns (16 KiB), which only chunks have of which an entry was returned and counted.
// What a crash takes from both is what came after the last checkpoint; a view that is
// rebuilt from the log has no counts.
//
// # Keys and values
//
// Integers in keys are big endian, so that keys sort as numbers do.
//
//	"f"                            format: magic, version of the layout
//	"m"                            mark: LSN
//	"o" kind:1 id:8                an object of the broker's (topology), opaque
//	"q" queue:8 level:1 "m"        meta: last pushed LSN, horizon, counts
//	"q" queue:8 level:1 "d" no:8   directory entry of a chunk
//	"q" queue:8 level:1 "e" no:8   entries of a chunk: LSNs, sizes, deadlines
//	"q" queue:8 level:1 "b" no:8   bitmaps of a chunk and counts of returns
//
// The level is 0 but for priority queues, each level of which is an index of its own.
// A chunk whose entries are all live, and neither transient nor redelivered nor
// counted as returned, has no bitmaps stored.
//
//	value   = version:1 payload crc:4      CRC32C over key, version, payload
//
// Of the payloads, what is not marked with a width is uvarints:
//
//	meta    = last horizon redeliveredTo next chunks live liveBytes
//	dir     = base last-base lowest-base n live transient liveBytes least flags
//	          least deadline, 0 = none; flags: 1 bitmaps are stored
//	entries = base n flags size0 (lsn delta, zigzag size delta) * (n-1) deadlines
//	          flags: 1 deadlines follow, for each of the n entries 0 = none, else
//	          1 + zigzag of the distance from the deadline before
//	bitmaps = n which:1 words:8* for each bitmap named in which (1 live,
//	          2 redelivered, 4 transient), little endian; 8 returns follow:
//	          how many, for each (slots skipped, count - 1), of the live
//
// Pebble's checksums cover its blocks; ours bind a value to its key as well, and
// are checked on every read. A version above the known one, of a value or of the
// layout, is ErrVersion. A layout below the known one is ErrOutdated: there is no
// conversion, since the log has it all.
//
// # Crash argument
//
//  1. A checkpoint is one synced Pebble batch, so the stored view changes from one
//     checkpoint to the next as a whole. Keys of chunks that vanished are deleted
//     in the same batch that stores what took their place.
//  2. A checkpoint is fuzzy: queues are copied one after another while others work,
//     so a stored queue may be ahead of the mark, never behind it. Each carries its
//     last pushed LSN, and settling twice is settling once; so a replay from the
//     mark arrives at the same state.
//  3. A stored queue must not be ahead of what the log has synced, since the
//     numbers of lost records are given out again: the caller syncs the log up to
//     its last record after the last Checkpoint.Queue and before Commit.
//  4. Chunk numbers given out after the checkpoint are given out again by the
//     replay; no position survives a restart, so none can be mistaken.
package index
