package segment

import "hash/crc32"

// castagnoli is the polynomial of every checksum; constant after start.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

func extend(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }

// align rounds n up to the next multiple of eight: everything in a segment starts on one.
func align(n int) int { return (n + 7) &^ 7 }
