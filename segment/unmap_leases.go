//go:build leases

package segment

import "golang.org/x/sys/unix"

// giveBack makes the memory of a mapping that has ended unreadable for ever, instead of leaving its addresses to the
// next mapping: whoever uses a record after its lease ends the process at once, and not only with luck. It is for
// tests, and never gives the addresses back.
func giveBack(data []byte) error {
	if err := unix.Madvise(data, unix.MADV_DONTNEED); err != nil {
		return err
	}
	return unix.Mprotect(data, unix.PROT_NONE)
}
