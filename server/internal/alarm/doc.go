// Package alarm says whether the broker is low on memory or on disk (FLOW-02).
//
// A [Watch] looks at both about once a second and keeps the answer where everybody can ask for it with one
// atomic load; who has to wait gets a channel that is closed when the answer changes. It stops nobody
// itself: what an alarm means to a connection is package session's business.
//
// # What is measured
//
// Memory is what the Go runtime holds and has not given back to the system. The pages of the log's mapped
// files do not count: they are page cache, which the kernel takes back when it needs it, and the memory of a
// broker with a large backlog would else always be low. Garbage does count until it is collected, so before
// an alarm is raised, and now and then while it lasts, the Watch has it collected.
//
// Disk is the room that the file system of the data folder has for us. A log that refuses an append for want
// of room is the same alarm, see [Watch.Full].
//
// # Goroutines
//
// One, the caller of [Watch.Run]. Anybody may ask.
//
//	w := alarm.New(alarm.Config{Memory: alarm.Limit{Share: 0.6}, DiskFree: 50_000_000, Folder: data})
//	go w.Run(stop)
//	for set, changed := w.Look(); set != 0; set, changed = w.Look() {
//		<-changed
//	}
package alarm
