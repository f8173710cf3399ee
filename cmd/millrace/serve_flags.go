package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/wal"
)

// serveFlags is what the flags of serve are read into: the configuration itself, and beside it what has other
// words on a command line. Each group of flags has a method; their order is that of the help.
type serveFlags struct {
	cfg             server.Config
	sync            string
	consumerTimeout time.Duration
	heavyRate       int64
	logLevel        string
}

func (f *serveFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.cfg.Data, "data", "millrace-data", "folder that holds everything worth keeping; created if missing")
	f.listeners(flags)
	f.access(flags)
	f.limits(flags)
	f.storage(flags)
	f.alarms(flags)
	f.clients(flags)
	flags.StringVar(&f.cfg.Definitions, "definitions", "",
		"file of users, permissions, policies, queues and so on to bring about, as RabbitMQ exports them; read again on SIGHUP")
	flags.BoolVar(&f.cfg.Repair, "repair", false,
		"go on without the records of files in which nothing can be read, "+
			"and with files whose damaged headers do not follow from the rest")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

// complete tells shells what the flags take.
func (f *serveFlags) complete(c *cobra.Command) {
	command.Folder(c, "data")
	command.Choices(c, "sync", "disk\tfdatasync returned", "os\tthe kernel has it")
	command.Choices(c, "log-level", "debug", "info", "warn", "error")
	command.Choices(c, "tls-verify", "none", "peer\tgood if shown", "require")
	command.Choices(c, "tls-cert-name", "distinguished_name", "common_name", "subject_alternative_name")
}

func (f *serveFlags) listeners(flags *pflag.FlagSet) {
	flags.StringVar(&f.cfg.Listen, "listen", "127.0.0.1:5672", "address for AMQP clients; port 0 takes a free one")
	flags.StringVar(&f.cfg.TLSListen, "tls-listen", "", "address for AMQP over TLS, usually at port 5671; none by default")
	tls := &f.cfg.TLS
	flags.StringVar(&tls.CertificateFile, "tls-cert", "",
		"the server's certificate, and those between it and its authority, in PEM")
	flags.StringVar(&tls.KeyFile, "tls-key", "", "the certificate's private key, in PEM")
	flags.StringVar(&tls.AuthorityFile, "tls-ca", "", "authorities whose clients are trusted, in PEM")
	flags.StringVar((*string)(&tls.Verify), "tls-verify", string(server.VerifyNone),
		"what to ask of clients' certificates: none, peer (good if shown) or require")
	flags.StringVar(&f.cfg.CertificateName, "tls-cert-name", "distinguished_name",
		"what of a client's certificate is its user's name: distinguished_name, common_name or subject_alternative_name")
}

// passwordVariable holds the first user's password; on a command line everybody could see it.
const passwordVariable = "MILLRACE_DEFAULT_PASS"

func (f *serveFlags) access(flags *pflag.FlagSet) {
	first := &f.cfg.First
	flags.StringVar(&first.User, "default-user", "guest", "the user that a data folder without users gets, an administrator")
	flags.StringVar(&first.Password, "default-pass", "",
		"that user's password, guest by default; better in the environment: "+passwordVariable)
	flags.StringVar(&first.VHost, "default-vhost", "/", "the virtual host in which that user may do anything")
	flags.StringSliceVar(&f.cfg.LoopbackUsers, "loopback-users", []string{"guest"},
		"users who may connect from this machine only, or none")
}

func (f *serveFlags) limits(flags *pflag.FlagSet) {
	limits := &f.cfg.Limits
	flags.IntVar(&limits.Connections, "max-connections", 0, "largest number of connections; 0 is no limit, here and below")
	flags.IntVar(&limits.Channels, "max-channels", 0, "largest number of channels of all connections")
	flags.IntVar(&limits.ConsumersPerChannel, "max-consumers-per-channel", 0, "largest number of consumers of one channel")
	flags.IntVar(&limits.Queues, "max-queues", 0, "largest number of queues in all virtual hosts")
	flags.IntVar(&limits.Exchanges, "max-exchanges", 0,
		"largest number of exchanges in all virtual hosts, each of which has seven from the start")
}

func (f *serveFlags) storage(flags *pflag.FlagSet) {
	flags.StringVar(&f.sync, "sync", "disk", "what a confirm stands for: disk (fdatasync returned) or os (the kernel has it)")
	flags.Var(sizeVar(&f.cfg.SegmentSize, 64<<20), "segment-size", "size of the log's files")
	flags.Var(sizeVar(&f.cfg.RetainBytes, 1<<30), "retain-bytes",
		"keep so much of the end of the log whole, as far as the disk has room")
	flags.DurationVar(&f.cfg.RetainTime, "retain-time", 0,
		"keep what is younger than this whole, as far as the disk has room")
	flags.DurationVar(&f.cfg.CheckpointEvery, "checkpoint-every", 5*time.Second, "limits what a restart has to replay")
	flags.Var(sizeVar(&f.cfg.MaxMessageSize, 16<<20), "max-message-size", "largest message accepted")
}

func (f *serveFlags) alarms(flags *pflag.FlagSet) {
	f.cfg.MemoryLimit = server.MemoryLimit{Share: 0.6}
	flags.Var((*memoryLimit)(&f.cfg.MemoryLimit), "memory-limit",
		"held memory beyond which connections that publish are blocked: "+
			"a size, or a share of what the process may use; 0 turns it off")
	flags.Var(sizeVar(&f.cfg.DiskFreeLimit, 50_000_000), "disk-free-limit",
		"free disk space below which connections that publish are blocked; 0 turns it off")
}

func (f *serveFlags) clients(flags *pflag.FlagSet) {
	flags.DurationVar(&f.consumerTimeout, "consumer-timeout", 30*time.Minute,
		"how long a consumer may take to acknowledge, unless its queue says otherwise; 0 is for ever")
	flags.Var(sizeVar(&f.heavyRate, 16<<20), "heavy-rate",
		"bytes a second for each processor that connections which publish much (32MiB and more) share while others publish little; "+
			"0 holds nobody back")
	flags.DurationVar(&f.cfg.Heartbeat, "heartbeat", time.Minute, "interval offered to clients")
}

// config returns the configuration once all flags are read, or all its faults. The broker's log goes to logOut.
func (f *serveFlags) config(logOut io.Writer) (server.Config, error) {
	cfg := f.cfg
	cfg.Version = version
	if cfg.TLS.Verify == server.VerifyNone {
		cfg.TLS.Verify = ""
	}
	cfg.First.Password = cmp.Or(cfg.First.Password, os.Getenv(passwordVariable))
	if slices.Equal(cfg.LoopbackUsers, []string{"none"}) {
		cfg.LoopbackUsers = []string{}
	}
	var faults []error
	cfg.ConsumerTimeout, cfg.HeavyRate = cmp.Or(f.consumerTimeout, -1), cmp.Or(f.heavyRate, -1)
	if f.consumerTimeout < 0 {
		faults = append(faults, fmt.Errorf("--consumer-timeout %v is negative", f.consumerTimeout))
	}
	switch f.sync {
	case "disk":
		cfg.Sync = wal.SyncDisk
	case "os":
		cfg.Sync = wal.SyncOS
	default:
		faults = append(faults, fmt.Errorf("--sync is %q, not disk or os", f.sync))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		faults = append(faults, fmt.Errorf("--log-level is %q, not debug, info, warn or error", f.logLevel))
	}
	cfg.Logger = slog.New(slog.NewTextHandler(logOut, &slog.HandlerOptions{Level: level}))
	return cfg, errors.Join(append(faults, cfg.Validate())...)
}
