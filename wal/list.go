package wal

import (
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// List returns the files of the log in dir, oldest first, and what is wrong with them as far as that shows: only the
// heads and footers of sealed files are read, and all of those that are not sealed. It changes nothing and may
// run beside an open log. The error is for a directory that cannot be read.
func List(dir string) ([]SegmentInfo, []Fault, error) {
	decoder, err := segment.NewOldDecoder()
	if err != nil {
		return nil, nil, err
	}
	defer decoder.Close()
	v := verifier{decoder: decoder}
	candidates, err := v.open(dir)
	defer releaseAll(candidates)
	if err != nil {
		return nil, v.report.Faults, fmt.Errorf("list %s: %w", dir, err)
	}
	end, err := v.end(candidates)
	if err != nil {
		v.fault(dir, 0, 0, err.Error())
	}
	var files []SegmentInfo
	for _, c := range end.kept {
		switch {
		case c.old != nil:
			files = append(files, c.oldInfo())
		case c.footer != nil:
			files = append(files, c.info(c.footer.Summary))
		default:
			files = append(files, c.info(c.scan.Summary))
		}
	}
	return files, v.report.Faults, nil
}
