package amqp

import "encoding/binary"

// Keys is an exchange name and a routing key as the four methods that carry content write them: two
// shortstrs in a row. A publish's Keys are stored and delivered as they came, so no name is encoded
// twice. The zero value stands for two empty strings.
type Keys []byte

// MakeKeys joins an exchange name and a routing key.
func MakeKeys(exchange, routingKey string) Keys {
	keys := make(Keys, 0, len(exchange)+len(routingKey)+2)
	return AppendShortstr(AppendShortstr(keys, exchange), routingKey)
}

// keysSize returns how many octets the two shortstrs at the start of data have, or 0 when data ends before them.
func keysSize(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	exchange := 1 + int(data[0])
	if exchange >= len(data) {
		return 0
	}
	size := exchange + 1 + int(data[exchange])
	if size > len(data) {
		return 0
	}
	return size
}

// Exchange returns the exchange's name, borrowed.
func (k Keys) Exchange() []byte {
	exchange, _ := k.Split()
	return exchange
}

// RoutingKey returns the routing key, borrowed.
func (k Keys) RoutingKey() []byte {
	_, routingKey := k.Split()
	return routingKey
}

// Split returns both parts, borrowed. Parts that malformed Keys do not have are empty.
func (k Keys) Split() (exchange, routingKey []byte) {
	if len(k) == 0 {
		return nil, nil
	}
	n := 1 + int(k[0])
	if n >= len(k) {
		return nil, nil
	}
	return k[1:n:n], k[n+1:]
}

// append writes the keys, or two empty strings.
func (k Keys) append(dst []byte) []byte {
	if len(k) == 0 {
		return append(dst, 0, 0)
	}
	return append(dst, k...)
}

// AppendDeliver appends the payload of a basic.deliver: the hot path's form of BasicDeliver.Append. Keys
// go out as they are.
func AppendDeliver[T ~string | ~[]byte](dst []byte, tag T, deliveryTag uint64, redelivered bool, keys Keys) []byte {
	tag = tag[:min(len(tag), maxShortstr)]
	dst = appendMethodID(dst, BasicDeliverID)
	dst = append(dst, byte(len(tag)))
	dst = append(dst, tag...)
	dst = binary.BigEndian.AppendUint64(dst, deliveryTag)
	dst = appendBits(dst, redelivered)
	return keys.append(dst)
}
