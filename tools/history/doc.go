// Package history answers what a broker's state was at a place of its log. Topology folds what the log says of virtual
// hosts, exchanges, queues, bindings and policies, and explains routes as of then. Contents folds publishes and
// settlements into what each queue holds. Story tells what became of one message.
//
// They are fed with the records in order, one after the other, by whoever reads the log, and know the state as of the
// last one: to look at another moment, stop there. A log may begin in the middle, because its beginning was retired;
// its first catalogue then states what went before. What a retired record said of contents needs no knowing: it is
// retired because no queue held anything in it.
//
// Nothing here reads files or clocks, starts a goroutine or takes a lock. What the log does not tell is marked so:
// messages that need not survive a restart leave their queues without a record (see [Held.Transient]), and those of
// queues that do not survive one as well.
//
//	topology, contents := history.NewTopology(), history.NewContents()
//	for cursor.Next() {
//		r := cursor.Record()
//		if err := topology.Apply(r, when); err != nil { … }
//		queues, err = cursor.Queues(queues[:0]) // of a publish
//		contents.Apply(r, queues, topology)
//	}
//	for _, q := range topology.Find("/", "orders") {
//		fmt.Println(q.ID, contents.Queue(q.ID).Count())
//	}
package history
