package segment

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat marks bytes that are no segment at all.
	ErrFormat = errors.New("not a millrace segment")
	// ErrVersion marks a segment written by a newer millrace.
	ErrVersion = errors.New("segment version is newer than this millrace")
	// ErrFeature marks a segment that requires a feature this build does not know.
	ErrFeature = errors.New("segment requires an unknown feature")
	// ErrCorrupt marks bytes that were a segment's and are damaged; see CorruptError for where.
	ErrCorrupt = errors.New("corrupt segment")
	// ErrFormerFooter marks a footer of the layout before this, which is not read. It is sound as far as can be told.
	ErrFormerFooter = errors.New("footer of a former layout")
	// ErrTooLarge marks a record or batch over MaxRecord or MaxBatch.
	ErrTooLarge = errors.New("record too large")
)

// CorruptError is damage at one place of a segment. It matches ErrCorrupt.
type CorruptError struct {
	Offset int64 // byte position in the file, or in the payload for payload decoders
	LSN    LSN   // record concerned; 0 when not known
	Reason string
}

// Error names the place and the reason.
func (e *CorruptError) Error() string {
	if e.LSN != 0 {
		return fmt.Sprintf("corrupt segment at %d (record %d): %s", e.Offset, e.LSN, e.Reason)
	}
	return fmt.Sprintf("corrupt segment at %d: %s", e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) hold.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func corrupt(offset int, lsn LSN, reason string) error {
	return &CorruptError{Offset: int64(offset), LSN: lsn, Reason: reason}
}
