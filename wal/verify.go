package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// Report is what Verify found.
type Report struct {
	Segments    []SegmentInfo // those of the log, oldest first
	First, Last segment.LSN
	Records     int
	Dropped     int64    // bytes behind the end of the log that an unfinished write left; no fault
	Beyond      []string // files behind the end of the log, which the next start sets aside; no fault
	Superseded  []string // files that an old-generation file stands for, which the next start removes; no fault
	Faults      []Fault
}

// Fault is one thing that is not as it must be.
type Fault struct {
	Path   string
	Offset int64
	LSN    segment.LSN // 0 when it concerns no single record
	Reason string
}

// Error gives the coordinates and the reason in one line.
func (f Fault) Error() string {
	if f.LSN != 0 {
		return fmt.Sprintf("%s at %d (record %d): %s", f.Path, f.Offset, f.LSN, f.Reason)
	}
	return fmt.Sprintf("%s at %d: %s", f.Path, f.Offset, f.Reason)
}

// Err joins all faults; nil when there is none.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// Verify reads every byte of the log in dir and reports every fault; it changes nothing. It may run
// beside an open log, whose end it then sees as of some moment. The error is for a directory that
// cannot be read.
func Verify(dir string) (Report, error) {
	return VerifyWatched(dir, func(int64) error { return nil })
}

// VerifyWatched is Verify, and tells of each file that it has read how long it is; an error of read ends it.
func VerifyWatched(dir string, read func(bytes int64) error) (Report, error) {
	decoder, err := segment.NewOldDecoder()
	if err != nil {
		return Report{}, err
	}
	defer decoder.Close()
	v := verifier{survey: survey{decoder: decoder}}
	candidates, err := v.list(dir)
	if err != nil {
		return v.report, fmt.Errorf("verify %s: %w", dir, err)
	}
	defer releaseAll(candidates)
	end := v.end(dir, v.legible(candidates, func(c *candidate) { c.checkTables(decoder); c.bringIn() }))
	v.report.First, v.report.Last = end.recovery.First, end.recovery.Last
	v.report.Dropped = end.recovery.Dropped
	for _, c := range end.beyond {
		v.report.Beyond = append(v.report.Beyond, c.path)
	}
	for _, c := range end.kept {
		check := v.segment
		if c.old != nil {
			check = v.old
		}
		if err := guarded(mappingsOf(end.kept), func() error { check(c); return nil }); err != nil {
			v.fault(c.path, 0, 0, err.Error())
		}
		if err := read(c.size); err != nil {
			return v.report, err
		}
	}
	v.report.Superseded, v.report.Faults = v.superseded, v.faults
	return v.report, nil
}

// list opens the files of a directory: all of one listing, for what had gone before it was opened others may stand for.
func (v *verifier) list(dir string) ([]*candidate, error) {
	for try := 1; ; try++ {
		files, gone, err := logFiles(dir)
		if err != nil {
			return nil, err
		}
		v.survey = survey{decoder: v.decoder}
		candidates := v.open(files)
		for _, f := range gone {
			v.superseded = append(v.superseded, f.path)
		}
		if !v.vanished || try == listings {
			return candidates, nil
		}
		releaseAll(candidates)
	}
}

// verifier is the state of one Verify.
type verifier struct {
	survey
	report Report
	epoch  uint64 // of the segment before
	timeMs int64  // of the batch before
	synced segment.LSN
}

// segment checks one segment of the log against its footer and itself.
func (v *verifier) segment(c *candidate) {
	if c.header.Epoch <= v.epoch {
		v.fault(c.path, 0, 0, "epoch is not above that of the segment before")
	}
	v.epoch = c.header.Epoch
	scan := c.scan
	cfg := segment.ScanConfig{Epoch: c.header.Epoch, First: c.base, OnBatch: func(b segment.BatchView) { v.batch(c, b) }}
	if c.footer != nil {
		cfg.End, cfg.Before = c.footer.End, c.footer.Last+1
		scan = segment.ScanFile(c.mapping.Bytes(), cfg)
		for _, d := range scan.Damages {
			v.fault(c.path, d.Offset, 0, quarantineReason(Quarantine{From: d.From, To: d.To, Reason: d.Reason}))
		}
		if c.tableFault == nil {
			v.footer(c, scan)
		} else {
			v.fault(c.path, 0, 0, c.tableFault.Error())
		}
	} else {
		// The scan that found the end called nobody; the part that counts is read again.
		cfg.End, cfg.Before = scan.End, scan.Last+1
		segment.ScanFile(c.mapping.Bytes(), cfg)
	}
	lost := v.records(c, scan)
	v.report.Records += scan.Count() - lost
	info := c.info(scan)
	info.Lost = lost
	v.report.Segments = append(v.report.Segments, info)
}

// batch checks what holds from batch to batch.
func (v *verifier) batch(c *candidate, b segment.BatchView) {
	if b.Time < v.timeMs {
		v.fault(c.path, int64(b.Offset), b.First, "batch is older than the one before it")
	}
	v.timeMs = max(v.timeMs, b.Time)
	if b.Synced >= b.First {
		v.fault(c.path, int64(b.Offset), b.First, "watermark is not below the batch")
	}
	if b.Synced < v.synced {
		v.fault(c.path, int64(b.Offset), b.First, "watermark is below that of the batch before")
	}
	v.synced = max(v.synced, b.Synced)
}

// footer checks the footer against what the segment holds.
func (v *verifier) footer(c *candidate, scan *segment.Scan) {
	f := c.footer
	at := c.size - segment.TrailerSize
	switch {
	case f.Last != scan.Last && len(scan.Damages) == 0:
		v.fault(c.path, at, 0, fmt.Sprintf("footer ends with record %d, the batches with %d", f.Last, scan.Last))
	case f.End != scan.End && len(scan.Damages) == 0:
		v.fault(c.path, at, 0, fmt.Sprintf("footer says that batches end at %d, they end at %d", f.End, scan.End))
	case scan.Batches > 0 && len(scan.Damages) == 0 && (f.MinTime != scan.MinTime || f.MaxTime != scan.MaxTime):
		v.fault(c.path, at, 0, "footer's times are not those of the batches")
	}
	for i, place := range scan.Places[:min(len(scan.Places), f.Count())] {
		if place != 0 && f.At(i) != int64(place)<<3 {
			v.fault(c.path, f.At(i), f.First+segment.LSN(i),
				fmt.Sprintf("footer has another place than %d for the record", int64(place)<<3))
		}
	}
	var sets []uint32
	for i := range f.SetCount() {
		sets = append(sets, uint32(f.Set(i)))
	}
	if !slices.Equal(sets, scan.Sets) && len(scan.Damages) == 0 {
		v.fault(c.path, at, 0, "footer's route sets are not those of the records")
	}
}

// records decodes every record and returns how many are lost.
func (v *verifier) records(c *candidate, scan *segment.Scan) (lost int) {
	sets := map[uint64]bool{}
	var queues []segment.QueueID
	for i, place := range scan.Places {
		if place == 0 {
			lost++
			continue
		}
		record, err := segment.RecordAt(c.mapping.Bytes(), int(place)<<3)
		if err == nil {
			queues, err = checkRecord(record, sets, queues[:0])
		}
		if err != nil {
			v.fault(c.path, int64(place)<<3, c.base+segment.LSN(i), err.Error())
		}
	}
	return lost
}

// checkRecord decodes a record of any kind. sets holds the route sets defined so far.
func checkRecord(r segment.Record, sets map[uint64]bool, queues []segment.QueueID) ([]segment.QueueID, error) {
	switch r.Kind() {
	case segment.KindPublish:
		p, err := r.Publish()
		if err != nil {
			return queues, err
		}
		if id, interned := p.Set(); interned && !sets[id] {
			return queues, fmt.Errorf("route set %d is not defined before its use", id)
		}
		return p.AppendQueues(queues)
	case segment.KindSettle:
		_, err := r.Settle()
		return queues, err
	case segment.KindHorizon:
		_, err := r.Horizon()
		return queues, err
	case segment.KindRouteSet:
		id, err := r.RouteSetID()
		if err != nil {
			return queues, err
		}
		sets[id] = true
		return r.AppendRouteSet(queues)
	case segment.KindTopology, segment.KindCatalogue, segment.KindConsumer, segment.KindStart:
		return queues, nil
	}
	return queues, fmt.Errorf("unknown kind %d", r.Kind())
}
