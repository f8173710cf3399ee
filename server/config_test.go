package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/wal"
)

func valid() server.Config { return server.Config{Data: "data", Listen: "127.0.0.1:5672"} }

func TestConfigIsChecked(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*server.Config)
		fault  string // empty: none
	}{
		{"nothing", func(*server.Config) {}, ""},
		{"all of it", func(c *server.Config) {
			c.Sync, c.SegmentSize, c.RetainBytes, c.RetainTime = wal.SyncOS, 1<<20, 1<<30, time.Hour
			c.CheckpointEvery, c.MaxMessageSize, c.Heartbeat = time.Second, 512<<20, 65535*time.Second
		}, ""},
		{"any port", func(c *server.Config) { c.Listen = ":0" }, ""},
		{"IPv6", func(c *server.Config) { c.Listen = "[::1]:5672" }, ""},
		{"no data", func(c *server.Config) { c.Data = "" }, "no data folder"},
		{"no address", func(c *server.Config) { c.Listen = "" }, `listen address ""`},
		{"no port", func(c *server.Config) { c.Listen = "localhost" }, `listen address "localhost" is not host:port`},
		{"two colons", func(c *server.Config) { c.Listen = "::1:5672" }, "is not host:port"},
		{"negative message size", func(c *server.Config) { c.MaxMessageSize = -1 }, "largest message size -1"},
		{"message size beyond all bounds", func(c *server.Config) { c.MaxMessageSize = 512<<20 + 1 }, "largest message size 536870913"},
		{"negative heartbeat", func(c *server.Config) { c.Heartbeat = -time.Second }, "heartbeat -1s"},
		{"heartbeat of half a second", func(c *server.Config) { c.Heartbeat = 500 * time.Millisecond }, "heartbeat 500ms"},
		{"heartbeat that does not fit", func(c *server.Config) { c.Heartbeat = 65536 * time.Second }, "heartbeat 18h12m16s"},
		{"negative checkpoint interval", func(c *server.Config) { c.CheckpointEvery = -1 }, "checkpoint interval -1ns is negative"},
		{"segment size", func(c *server.Config) { c.SegmentSize = 1 }, "segment size 1"},
		{"odd segment size", func(c *server.Config) { c.SegmentSize = 1<<20 + 1 }, "segment size 1048577"},
		{"sync level", func(c *server.Config) { c.Sync = 7 }, "sync level 7"},
		{"retained bytes", func(c *server.Config) { c.RetainBytes = -5 }, "retained bytes -5"},
		{"negative limit", func(c *server.Config) { c.Limits.Queues = -1 }, "limit of queues -1 is negative"},
		{"nobody bound to this machine", func(c *server.Config) { c.LoopbackUsers = []string{} }, ""},
		{"loopback user behind a space", func(c *server.Config) { c.LoopbackUsers = []string{"guest", " ann"} }, `loopback user " ann"`},
		{"loopback user without a name", func(c *server.Config) { c.LoopbackUsers = []string{"guest", ""} }, `loopback user ""`},
		{"retained time", func(c *server.Config) { c.RetainTime = -time.Hour }, "retained time -1h0m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := valid()
			test.change(&cfg)
			err := cfg.Validate()
			if test.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("error %v, want %q", err, test.fault)
			}
			cfg.Data = strings.Replace(cfg.Data, "data", t.TempDir(), 1)
			if s, err := server.Open(cfg); err == nil {
				s.Shutdown()
				t.Error("a server runs with it")
			}
		})
	}
}

func TestAllFaultsAreReportedTogether(t *testing.T) {
	err := server.Config{Listen: "nowhere", MaxMessageSize: -1, Heartbeat: -1, CheckpointEvery: -1, SegmentSize: 1, RetainBytes: -1}.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, fault := range []string{"data folder", "listen address", "message size", "heartbeat", "checkpoint", "segment size", "retained bytes"} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is missing in:\n%v", fault, err)
		}
	}
}
