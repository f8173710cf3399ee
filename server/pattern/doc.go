// Package pattern matches names against the regular expressions of policies and permissions, as RabbitMQ
// takes them: one matches if any part of a name does, unless it says ^ or $. Matching takes time in proportion
// to the name, whatever the pattern. The package knows no policies, permissions or resources; packages policy
// and access compile what operators give them, once, and any goroutine may match.
//
// RabbitMQ's expressions are Perl's and match octet by octet; ours are Go's. They have no look-around,
// back-references, atomic groups, possessive quantifiers, \K, \R or \h, and are refused. An exception is made
// for what RabbitMQ's own guides recommend: look-aheads right behind a leading ^, with no alternative outside
// of a group behind them. A dot matches a character, not an octet, and $ does not match before a final line
// feed.
//
//	p, err := pattern.Compile(`^(?!amq\.).*`) // all but those
//	p.Match("orders")                          // true
package pattern
