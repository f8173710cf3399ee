package segment

import "golang.org/x/sys/cpu"

// canFold says that this machine has what foldChecksum needs; constant after start.
var canFold = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasSSE42

// folds are what the low and the high half of sixteen bytes are multiplied with to fold them forward over a
// distance: the remainders of x^(distance+32) and x^(distance-32). The last four pairs are for the four quarters of a
// register, of which the last stays. Never written to.
var folds = [16]uint64{
	0x0dcb17aa4, 0x0b9e02b86, // 2048 bits
	0x0a87ab8a8, 0x0ab7aff2a, // 1536 bits
	0x06992cea2, 0x00d3b6092, // 1024 bits
	0x0740eef02, 0x09e4addf8, // 512 bits
	0x01c291d04, 0x1d82c63da, // 384 bits
	0x1384aa63a, 0x0ba4fc28e, // 256 bits
	0x0f20c0dfe, 0x14cd00bd6, // 128 bits
	0, 0,
}

// foldChecksum is the state of a checksum, which is its complement, after p, which has at least foldFrom bytes. It
// folds 256 bytes at a time onto the next 256, by carry-less multiplication in registers of 64 bytes, then what that
// leaves onto the last sixteen, and has the CRC instruction reduce those.
//
//go:noescape
func foldChecksum(state uint32, p []byte) uint32
