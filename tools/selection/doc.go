// Package selection answers which records of a log are asked for: by place or time, kind, names, routing key, headers,
// body, or an expression over all of them. It registers the flags that say so, for each command that reads records,
// and makes a Filter of them. It reads no log: the caller finds where to start, and asks of each record.
//
//	s := selection.Flags(command.Flags())
//	…
//	filter, err := s.Compile(time.Now(), topology)
//	cursor := reader.Cursor(filter.Start(reader.Find))
//	for !filter.Done() && cursor.Next() {
//		if filter.Past(cursor.LSN(), cursor.Time()) {
//			break
//		}
//		if filter.Match(cursor.Record(), cursor.Time(), queues) { … }
//	}
//
// Tests are made in the order of their cost: kind and number first, then names, then the key, the headers, the body, and
// the expression last. Headers are decoded only for an expression that asks for them. One goroutine uses a Filter.
package selection
