package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockFolder keeps a second process out of the data folder. The kernel lets go of the lock when the
// process ends, however it ends.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf(
			"data folder %s is in use by another millrace (it holds %s); stop that one or choose another --data", dir, path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// syncFolders makes the names of the folders in the data folder, and its own, survive a power cut: what is synced in
// them is of no use if they are not found.
func syncFolders(data string) error {
	dir, err := os.Open(data)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", data, err)
	}
	parent, err := os.Open(filepath.Join(data, ".."))
	if err != nil {
		return nil // we may not read it, so we did not make the data folder in it either
	}
	defer parent.Close()
	if err := parent.Sync(); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", data, err)
	}
	return nil
}
