package segment

import "hash/crc32"

// castagnoli is the polynomial of every checksum; constant after start.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// foldFrom is the length from which folding serves, on machines that can. The standard library's way, three streams
// of the CRC instruction, takes two to three times as long, and puts them together by tables of 8 KiB, which messages
// push out of the cache. Below, it is as fast.
const foldFrom = 256

func checksum(p []byte) uint32 { return extend(0, p) }

func extend(crc uint32, p []byte) uint32 {
	if canFold && len(p) >= foldFrom {
		return ^foldChecksum(^crc, p)
	}
	return crc32.Update(crc, castagnoli, p)
}

// align rounds n up to the next multiple of eight: everything in a segment starts on one.
func align(n int) int { return (n + 7) &^ 7 }
