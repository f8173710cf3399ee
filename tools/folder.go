package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errInUse says that a broker runs on a folder.
var errInUse = errors.New("a broker runs on the folder")

// lockPath is the file of a data folder that a broker holds while it runs.
func lockPath(data string) string { return filepath.Join(data, "LOCK") }

// shareFolder keeps brokers from starting on a folder, and is errInUse if one runs there.
func shareFolder(data string) (release func(), err error) {
	lock, err := os.Open(lockPath(data))
	if errors.Is(err, fs.ErrNotExist) { // no broker has been here
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return hold(lock, unix.LOCK_SH)
}

// ownFolder takes the lock of a data folder, as a broker does.
func ownFolder(data string) (release func(), err error) {
	if _, err := os.Stat(logOf(data)); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(lockPath(data), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	release, err = hold(lock, unix.LOCK_EX)
	if errors.Is(err, errInUse) {
		err = fmt.Errorf("data folder %s is in use by another millrace (it holds %s); stop that one first", data, lock.Name())
	}
	return release, err
}

// hold locks an open file until it is closed, which release does, and is errInUse if somebody holds it otherwise.
func hold(lock *os.File, how int) (release func(), err error) {
	if err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errInUse
		}
		return nil, err
	}
	return func() { lock.Close() }, nil
}
