//go:build !leases

package segment

import "golang.org/x/sys/unix"

// giveBack ends a mapping.
func giveBack(data []byte) error { return unix.Munmap(data) }
