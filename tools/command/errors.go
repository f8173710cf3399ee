package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1   // what was asked for failed, or faults were found
	ExitUsage       = 2   // what was asked for is not clear
	ExitInterrupted = 130 // a signal ended it before it was done
)

// ErrFaults is returned by a command that did what it was asked for, found faults and has told them.
var ErrFaults = errors.New("faults were found")

// usageError is a fault of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks an error as one of the command line; nil stays nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// Usagef words an error of the command line.
func Usagef(format string, args ...any) error { return Usage(fmt.Errorf(format, args...)) }

// Line words an error in one line; joined errors stand behind each other.
func Line(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var path *os.PathError
	if errors.As(err, &path) && errors.Is(err, os.ErrPermission) {
		text += " (check the owner and mode of the folder)"
	}
	return text
}

// outcome returns the exit code of what a command returned, and the line that tells it; "" is none.
func outcome(path string, err error) (code int, line string) {
	var usage usageError
	switch {
	case err == nil:
		return ExitOK, ""
	case errors.As(err, &usage):
		return ExitUsage, fmt.Sprintf("%s: %s; see '%s --help'", path, Line(err), path)
	case errors.Is(err, context.Canceled):
		return ExitInterrupted, path + ": interrupted"
	case err == ErrFaults:
		return ExitFailed, ""
	}
	return ExitFailed, path + ": " + Line(err)
}
