package segment

// LSN is a record number: dense and increasing within one log shard, never reused once synced.
// Zero means none; the first record of a log is 1.
type LSN uint64

// QueueID names a queue in records. Ids are never reused; zero means none.
type QueueID uint64

// Range is the records From to To, both included.
type Range struct{ From, To LSN }

// Kind says what a record's payload is.
type Kind uint8

// The kinds of records. A new kind needs a required feature bit (see docs/format.md).
const (
	KindPublish   Kind = 1
	KindSettle    Kind = 2
	KindHorizon   Kind = 3
	KindTopology  Kind = 4
	KindCatalogue Kind = 5
	KindRouteSet  Kind = 6
	KindConsumer  Kind = 7
	KindStart     Kind = 8
)

// String returns the kind's name as the tools print it.
func (k Kind) String() string {
	switch k {
	case KindPublish:
		return "publish"
	case KindSettle:
		return "settle"
	case KindHorizon:
		return "horizon"
	case KindTopology:
		return "topology"
	case KindCatalogue:
		return "catalogue"
	case KindRouteSet:
		return "route-set"
	case KindConsumer:
		return "consumer"
	case KindStart:
		return "start"
	}
	return "unknown"
}

// Flags are a record's bits.
type Flags uint8

const (
	// FlagTransient marks a record that needs no sync and is dropped at recovery.
	FlagTransient Flags = 1
	// FlagDeadLettered marks a message that the broker published again after it had died in a queue: its
	// x-death header is the broker's own.
	FlagDeadLettered Flags = 2
	// FlagBlindCopies marks a message whose headers name further routing keys that consumers must not see.
	FlagBlindCopies Flags = 4
	// FlagConsumer marks a settle that names the consumer who had the entries.
	FlagConsumer Flags = 8
	// FlagSuccessor marks a settle that names the publish that its entry went on as.
	FlagSuccessor Flags = 16
)

// SettleReason says what happened to entries of a queue: they left it, or with SettleReturn they came back.
type SettleReason uint8

// The reasons of a settle record.
const (
	SettleAck      SettleReason = 1
	SettleNoAck    SettleReason = 2
	SettleReject   SettleReason = 3
	SettleExpire   SettleReason = 4
	SettlePurge    SettleReason = 5
	SettleDrop     SettleReason = 6
	SettleTransfer SettleReason = 7
	// SettleReturn: the entries came back from a consumer and are still in the queue.
	SettleReturn SettleReason = 8
)

// String returns the reason's name as the tools print it.
func (r SettleReason) String() string {
	switch r {
	case SettleAck:
		return "ack"
	case SettleNoAck:
		return "no-ack"
	case SettleReject:
		return "reject"
	case SettleExpire:
		return "expire"
	case SettlePurge:
		return "purge"
	case SettleDrop:
		return "drop"
	case SettleTransfer:
		return "transfer"
	case SettleReturn:
		return "return"
	}
	return "unknown"
}
