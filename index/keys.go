package index

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// First bytes of the keys.
const (
	prefixFormat = 'f'
	prefixMark   = 'm'
	prefixObject = 'o'
	prefixQueue  = 'q'
)

// keyKind tells the keys of one queue apart.
type keyKind byte

const (
	kindBitmaps   keyKind = 'b'
	kindDirectory keyKind = 'd'
	kindEntries   keyKind = 'e'
	kindMeta      keyKind = 'm'
)

const (
	objectKeyLen = 1 + 1 + 8
	metaKeyLen   = 1 + 8 + 1 + 1
	chunkKeyLen  = metaKeyLen + 8
)

// levelID names what a Queue is the index of: a queue, or one level of a priority
// queue. A queue that has no levels is at level 0.
type levelID struct {
	queue segment.QueueID
	level byte
}

func (id levelID) String() string {
	if id.level == 0 {
		return fmt.Sprintf("queue %d", id.queue)
	}
	return fmt.Sprintf("queue %d level %d", id.queue, id.level)
}

// ObjectKey names an object that the broker keeps in the view.
type ObjectKey struct {
	Kind byte
	ID   uint64
}

func appendObjectKey(dst []byte, k ObjectKey) []byte {
	return binary.BigEndian.AppendUint64(append(dst, prefixObject, k.Kind), k.ID)
}

func parseObjectKey(key []byte) (ObjectKey, bool) {
	if len(key) != objectKeyLen || key[0] != prefixObject {
		return ObjectKey{}, false
	}
	return ObjectKey{Kind: key[1], ID: binary.BigEndian.Uint64(key[2:])}, true
}

// appendQueuePrefix begins every key of a queue, whatever its level.
func appendQueuePrefix(dst []byte, id segment.QueueID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, prefixQueue), uint64(id))
}

// appendLevelPrefix begins every key of one level of a queue.
func appendLevelPrefix(dst []byte, id levelID) []byte {
	return append(appendQueuePrefix(dst, id.queue), id.level)
}

func appendMetaKey(dst []byte, id levelID) []byte {
	return append(appendLevelPrefix(dst, id), byte(kindMeta))
}

func appendChunkKey(dst []byte, id levelID, kind keyKind, number uint64) []byte {
	dst = append(appendLevelPrefix(dst, id), byte(kind))
	return binary.BigEndian.AppendUint64(dst, number)
}

// queueKey is a parsed key of a queue. Number is 0 in the key of the meta value.
type queueKey struct {
	id     levelID
	kind   keyKind
	number uint64
}

func parseQueueKey(key []byte) (queueKey, bool) {
	if len(key) < metaKeyLen || key[0] != prefixQueue {
		return queueKey{}, false
	}
	id := levelID{queue: segment.QueueID(binary.BigEndian.Uint64(key[1:])), level: key[9]}
	k := queueKey{id: id, kind: keyKind(key[10])}
	switch k.kind {
	case kindMeta:
		return k, len(key) == metaKeyLen
	case kindBitmaps, kindDirectory, kindEntries:
		if len(key) != chunkKeyLen {
			return queueKey{}, false
		}
		k.number = binary.BigEndian.Uint64(key[metaKeyLen:])
		return k, true
	}
	return queueKey{}, false
}

// keyAfter returns the first key behind all keys that begin with prefix, or nil
// when there is none.
func keyAfter(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
