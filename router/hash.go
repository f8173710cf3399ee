package router

import "encoding/binary"

// hashOf is the hash of the hash exchanges. It must never change, nor depend on the process: a message
// must find its queue again after a restart, and after an upgrade.
func hashOf(octets []byte) uint64 {
	h := mix(uint64(len(octets))) // so that the padding below is no octets
	for ; len(octets) >= 8; octets = octets[8:] {
		h = mix(h ^ binary.LittleEndian.Uint64(octets))
	}
	var rest [8]byte
	copy(rest[:], octets)
	return mix(h ^ binary.LittleEndian.Uint64(rest[:]))
}

// mix makes each bit of x decide over each bit of the result. Different numbers have different results.
// It is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
