//go:build !amd64

package segment

const canFold = false

// foldChecksum is for machines that canFold.
func foldChecksum(state uint32, p []byte) uint32 { return ^extend(^state, p) }
