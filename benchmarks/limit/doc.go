// Package limit measures what the machine allows to any broker: what it costs to pass bytes from one TCP
// connection to another, to write them to a file on the way, and how long the disk takes to say that they
// are safe. No broker that does this much can be faster than that.
//
//	results, err := limit.Measure(ctx, limit.Config{Data: "/var/lib", Time: 3 * time.Second})
//
// Goroutines: one that writes, one that relays and one that reads, for each relay; Measure waits for them.
package limit
