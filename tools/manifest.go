package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace-mq/millrace/server/control"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// manifestName is the file that makes a folder a finished backup: it is written last.
const manifestName = "millrace-backup.json"

// manifestFormat is the version of what is written there.
const manifestFormat = 1

// manifest is what a finished backup says of itself.
type manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"millrace"` // that made it
	Time    time.Time `json:"time"`     // everything that was confirmed before is in it
	Data    string    `json:"data"`     // the folder that it was made of
	First   uint64    `json:"first"`    // record of the log
	Last    uint64    `json:"last"`
	Mark    uint64    `json:"index_mark"` // up to which record the index is complete; 0: there is none
	Files   []backed  `json:"files"`
}

// backed is a file of a backup.
type backed struct {
	Name  string `json:"name"` // with slashes, below the backup's folder
	Bytes int64  `json:"bytes"`
	CRC   string `json:"crc32c"` // 8 hexadecimal digits
}

func manifestOf(b control.Backup, data string) manifest {
	return manifest{
		Format: manifestFormat, Version: b.Version, Time: b.Time.UTC().Round(time.Millisecond), Data: data,
		First: b.First, Last: b.Last, Mark: b.Mark,
	}
}

// readManifest reads the one of a backup.
func readManifest(dir string) (m manifest, err error) {
	path := filepath.Join(dir, manifestName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s is not a finished backup: it has no %s", dir, manifestName)
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	switch {
	case err != nil:
		return m, fmt.Errorf("%s: %w", path, err)
	case m.Format > manifestFormat:
		return m, fmt.Errorf("%s: format %d is of a newer millrace, known up to %d", path, m.Format, manifestFormat)
	case m.Format < 1:
		return m, fmt.Errorf("%s: there is no format %d", path, m.Format)
	}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) || f.Bytes < 0 {
			return m, fmt.Errorf("%s: %q is no name of a file in a backup", path, f.Name)
		}
	}
	return m, nil
}

// write writes it where a crash leaves all of it or nothing.
func (m *manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	file, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncFolder(dir)
}

func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// sum lists the files of a backup with their checksums.
func (m *manifest) sum(ctx context.Context, dir string, progress *terminal.Progress) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		crc, n, err := copyFile(ctx, io.Discard, path, progress)
		m.Files = append(m.Files, backed{Name: filepath.ToSlash(name), Bytes: n, CRC: fmt.Sprintf("%08x", crc)})
		return err
	})
}

// copyFile writes what a file holds, and returns its checksum and length.
func copyFile(ctx context.Context, to io.Writer, path string, progress *terminal.Progress) (crc uint32, n int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return crc, n, err
		}
		got, err := file.Read(buffer)
		crc = crc32.Update(crc, castagnoli(), buffer[:got])
		n += int64(got)
		progress.Add(int64(got))
		if _, err := to.Write(buffer[:got]); err != nil {
			return crc, n, err
		}
		if err == io.EOF {
			return crc, n, nil
		}
		if err != nil {
			return crc, n, err
		}
	}
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
