package segment

import (
	"runtime"
	"unsafe"
)

// FaultOffset tells which byte of the mapping could not be brought in, given what a goroutine under
// debug.SetPanicOnFault has recovered from: the file was cut short, or its disk failed. It is false for any
// other panic, and for a mapping that is gone: to touch that is a bug and no fault of a disk.
func (m *Mapping) FaultOffset(recovered any) (int64, bool) {
	fault, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || len(m.data) == 0 || m.leases.Load() <= 0 {
		return 0, false
	}
	offset := fault.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
	return int64(offset), offset < uintptr(len(m.data))
}
