package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/server"
)

// memoryLimit is a flag that takes a size, or a share of the memory that the process may use.
type memoryLimit server.MemoryLimit

// Set implements pflag.Value.
func (m *memoryLimit) Set(text string) error {
	if share, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && share <= 1 {
		limit := server.MemoryLimit{Share: share}
		*m = memoryLimit(limit)
		return limit.Validate()
	}
	var bytes size
	if bytes.Set(text) != nil {
		return fmt.Errorf("%q is neither a size like 512MiB or 2GiB nor a share like 0.6", text)
	}
	*m = memoryLimit{Bytes: uint64(bytes)}
	return nil
}

// String implements pflag.Value.
func (m *memoryLimit) String() string {
	if m.Bytes > 0 {
		bytes := size(m.Bytes)
		return bytes.String()
	}
	return strconv.FormatFloat(m.Share, 'g', -1, 64)
}

// Type implements pflag.Value.
func (m *memoryLimit) Type() string { return "limit" }
