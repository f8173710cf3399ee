package main_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What these tests know of the files of a log; docs/format.md has it all.
const (
	segmentHeaderSize = 4096
	headerVersionAt   = 8
	headerChecksumAt  = 16
	headerRequiredAt  = 24
	headerEpochAt     = 40

	batchHeaderSize = 72
	batchMagic      = 0x42524DB7
	batchLengthAt   = 8
	batchEpochAt    = 16
)

// segmentFiles are the log's segments, oldest first.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", strings.Repeat("[0-9]", 20)+".seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("log of %s: %d segments, %v", dir, len(files), err)
	}
	slices.Sort(files)
	return files
}

// oldFiles are the log's files of the old generation.
func oldFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.old"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func firstSegment(t testing.TB, dir string) string {
	t.Helper()
	return segmentFiles(t, dir)[0]
}

// editHeader changes a segment's header as if it had been written so.
func editHeader(t testing.TB, path string, edit func(header []byte)) {
	t.Helper()
	editFile(t, path, func(data []byte) {
		edit(data[:segmentHeaderSize])
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Checksum(data[:headerChecksumAt], table)
		sum = crc32.Update(sum, table, data[headerChecksumAt+4:segmentHeaderSize])
		binary.LittleEndian.PutUint32(data[headerChecksumAt:], sum)
	})
}

func editFile(t testing.TB, path string, edit func(data []byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(data)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// snapshot describes the segments of a folder: names, sizes and contents.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, entry := range entries {
		data, _ := os.ReadFile(filepath.Join(dir, entry.Name()))
		fmt.Fprintf(&text, "%s %d %08x\n", entry.Name(), len(data), crc32.ChecksumIEEE(data))
	}
	return text.String()
}
