package main_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tailDamage changes what lies behind the place up to which a log was
// promised to be safe. used is where its last batch ends.
type tailDamage struct {
	name string
	do   func(data []byte, safe, used int, random *rand.Rand) []byte
}

var tailDamages = []tailDamage{
	{"cut", func(data []byte, safe, used int, random *rand.Rand) []byte {
		return data[:safe+random.IntN(max(used-safe, 1))]
	}},
	{"zeroed", func(data []byte, safe, used int, random *rand.Rand) []byte {
		clear(data[safe+random.IntN(max(used-safe, 1)):])
		return data
	}},
	{"flipped", func(data []byte, safe, used int, random *rand.Rand) []byte {
		end := min(used+4096, len(data)) // also where nothing was written yet
		for range 1 + random.IntN(20) {
			if end > safe {
				data[safe+random.IntN(end-safe)] ^= byte(1 + random.IntN(255))
			}
		}
		return data
	}},
}

// damageTail damages the newest segment behind the last confirmed message,
// as a crash of the machine might have.
func damageTail(dir string, confirmed []messageID, damage tailDamage, random *rand.Rand) error {
	paths, err := filepath.Glob(filepath.Join(dir, "log", strings.Repeat("[0-9]", 20)+".seg"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("log of %s: no segments, %v", dir, err)
	}
	newest := slices.Max(paths)
	data, err := os.ReadFile(newest)
	if err != nil {
		return err
	}
	ends := batchEnds(data)
	if len(ends) == 0 {
		return nil // it has just been begun
	}
	// The batch that begins a segment tells of the topology: it is left, for
	// older segments may be gone, and the index with them.
	safe := ends[0]
	for _, id := range confirmed {
		// A message may be in an older segment, or its segment recycled: then
		// there is nothing of it to spare here.
		if at := bytes.LastIndex(data, id.prefix()); at >= 0 {
			i, _ := slices.BinarySearch(ends, at)
			if i == len(ends) {
				return fmt.Errorf("%s: %v at %d is in no batch", newest, id, at)
			}
			safe = max(safe, ends[i])
		}
	}
	return os.WriteFile(newest, damage.do(data, safe, ends[len(ends)-1], random), 0o640)
}

// batchEnds walks over a segment's batches and tells where each ends.
func batchEnds(segment []byte) []int {
	var ends []int
	epoch := segment[headerEpochAt : headerEpochAt+8]
	for at := segmentHeaderSize; at+batchHeaderSize <= len(segment); {
		batch := segment[at:]
		if binary.LittleEndian.Uint32(batch) != batchMagic || !bytes.Equal(batch[batchEpochAt:batchEpochAt+8], epoch) {
			break
		}
		at += int(binary.LittleEndian.Uint32(batch[batchLengthAt:]))
		ends = append(ends, at)
	}
	return ends
}
