package wal

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

func TestLogIsTightWhenNoSegmentIsReadyToFollow(t *testing.T) {
	hold := make(chan struct{})
	var f faulty
	disk := f.disk()
	allocate := disk.Allocate
	made := 0
	disk.Allocate = func(file *os.File, size int64, rest func(int64) error) error {
		if made++; made > 2 { // the active one and the reserve
			<-hold
		}
		return allocate(file, size, rest)
	}
	l := openLog(t, Config{Dir: t.TempDir(), Disk: disk})
	await(t, "the reserve", func() bool { return sparesOf(l) == readyReserve })
	if l.Tight() != nil {
		t.Error("tight while the active segment is empty")
	}
	for l.list()[len(l.list())-1].end.Load() <= l.cfg.SegmentSize/2 {
		var b segment.Batch
		addPublish(&b, strings.Repeat("x", 2000), 1)
		if err := l.Append(&b, nil); err != nil {
			t.Fatal(err)
		}
	}
	eased := l.Tight()
	if eased == nil {
		t.Fatal("not tight although only the reserve is left")
	}
	close(hold)
	<-eased
	await(t, "another spare", func() bool { return l.Tight() == nil })
}

func TestLogIsBehindUntilASyncHasCovered(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), Sync: SyncDisk})
	var b segment.Batch
	addPublish(&b, strings.Repeat("x", 5000), 1)
	if err := l.Append(&b, nil); err != nil {
		t.Fatal(err)
	}
	if l.Behind(1<<20) != nil {
		t.Error("behind by a megabyte")
	}
	if changed := l.Behind(100); changed != nil {
		<-changed
	}
	await(t, "the sync", func() bool { return l.Behind(100) == nil })
}
