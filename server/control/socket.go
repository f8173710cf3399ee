package control

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// name is the socket's in the data folder.
const name = "control.sock"

// longest is the longest path of a socket that fits into its address, sun_path of unix(7).
const longest = 107

// within calls fn with a path by which the kernel finds a file of a folder, however long the folder's own path is.
func within(folder, name string, fn func(path string) error) error {
	if path := filepath.Join(folder, name); len(path) <= longest {
		return fn(path)
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name))
}

// listen takes the socket's name, whoever had it before: the caller has the folder's lock. Nobody but the owner can
// connect at any time, since the socket has its mode before it has its name.
func listen(data string) (*net.UnixListener, error) {
	unnamed := name + ".new"
	if err := os.RemoveAll(filepath.Join(data, unnamed)); err != nil {
		return nil, err
	}
	var l *net.UnixListener
	if err := within(data, unnamed, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	}); err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it will have another name
	err := os.Chmod(filepath.Join(data, unnamed), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(data, unnamed), filepath.Join(data, name))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
