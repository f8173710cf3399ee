package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/wal"
)

// serve runs the broker until it is told to stop.
func serve(ctx context.Context, args []string, _ io.Reader, out, errOut io.Writer) int {
	cfg, code, done := serveConfig(args, out, errOut)
	if done {
		return code
	}
	hangup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	s, err := server.Open(cfg)
	if err != nil {
		fmt.Fprintf(errOut, "millrace serve: %s\n", oneLine(err))
		return exitFailed
	}
	fmt.Fprintln(out, startLine(s, cfg))
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	err = untilStopped(ctx, s, cfg, served, hangup)
	if err := errors.Join(err, s.Shutdown()); err != nil {
		fmt.Fprintf(errOut, "millrace serve: %s\n", oneLine(err))
		return exitFailed
	}
	cfg.Logger.Info("stopped")
	return exitOK
}

// untilStopped waits for the end, and meanwhile reads the definitions again whenever it is told to. Without
// definitions a hang-up is the end: the terminal has been closed.
func untilStopped(ctx context.Context, s *server.Server, cfg server.Config, served <-chan error, hangup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			cfg.Logger.Info("stopping")
			return nil
		case err := <-served:
			return err
		case <-hangup:
			if cfg.Definitions == "" {
				cfg.Logger.Info("stopping: hang-up")
				return nil
			}
			if err := s.ReloadDefinitions(); err != nil {
				cfg.Logger.Error("definitions not applied", "error", oneLine(err))
			}
		}
	}
}

// passwordVariable holds the first user's password; on a command line everybody could see it.
const passwordVariable = "MILLRACE_DEFAULT_PASS"

// serveConfig turns flags into a configuration; done says that there is nothing more to do.
func serveConfig(args []string, out, errOut io.Writer) (cfg server.Config, code int, done bool) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	data := flags.String("data", "millrace-data", "folder that holds everything worth keeping; created if missing")
	listen := flags.String("listen", "127.0.0.1:5672", "address for AMQP clients; port 0 takes a free one")
	var tls server.TLSConfig
	tlsListen := flags.String("tls-listen", "", "address for AMQP over TLS, usually at port 5671; none by default")
	flags.StringVar(&tls.CertificateFile, "tls-cert", "", "the server's certificate, and those between it and its authority, in PEM")
	flags.StringVar(&tls.KeyFile, "tls-key", "", "the certificate's private key, in PEM")
	flags.StringVar(&tls.AuthorityFile, "tls-ca", "", "authorities whose clients are trusted, in PEM")
	verify := flags.String("tls-verify", "none", "what to ask of clients' certificates: none, peer (good if shown) or require")
	certName := flags.String("tls-cert-name", "distinguished_name", "what of a client's certificate is its user's name: distinguished_name, common_name or subject_alternative_name")
	defaultUser := flags.String("default-user", "guest", "the user that a data folder without users gets, an administrator")
	defaultPass := flags.String("default-pass", "", "that user's password, guest by default; better in the environment: "+passwordVariable)
	defaultVHost := flags.String("default-vhost", "/", "the virtual host in which that user may do anything")
	loopback := flags.StringSlice("loopback-users", []string{"guest"}, "users who may connect from this machine only, or none")
	var limits server.Limits
	flags.IntVar(&limits.Connections, "max-connections", 0, "largest number of connections; 0 is no limit, here and below")
	flags.IntVar(&limits.Channels, "max-channels", 0, "largest number of channels of all connections")
	flags.IntVar(&limits.ConsumersPerChannel, "max-consumers-per-channel", 0, "largest number of consumers of one channel")
	flags.IntVar(&limits.Queues, "max-queues", 0, "largest number of queues in all virtual hosts")
	flags.IntVar(&limits.Exchanges, "max-exchanges", 0, "largest number of exchanges in all virtual hosts, each of which has seven from the start")
	sync := flags.String("sync", "disk", "what a confirm stands for: disk (fdatasync returned) or os (the kernel has it)")
	segmentSize, maxMessage, retainBytes := size(64<<20), size(16<<20), size(1<<30)
	flags.Var(&segmentSize, "segment-size", "size of the log's files")
	flags.Var(&retainBytes, "retain-bytes", "keep so much of the end of the log whole, as far as the disk has room")
	retainTime := flags.Duration("retain-time", 0, "keep what is younger than this whole, as far as the disk has room")
	checkpoint := flags.Duration("checkpoint-every", 5*time.Second, "limits what a restart has to replay")
	flags.Var(&maxMessage, "max-message-size", "largest message accepted")
	memory, diskFree := memoryLimit{Share: 0.6}, size(50_000_000)
	flags.Var(&memory, "memory-limit", "held memory beyond which connections that publish are blocked: a size, or a share of what the process may use; 0 turns it off")
	flags.Var(&diskFree, "disk-free-limit", "free disk space below which connections that publish are blocked; 0 turns it off")
	consumerTimeout := flags.Duration("consumer-timeout", 30*time.Minute, "how long a consumer may take to acknowledge, unless its queue says otherwise; 0 is for ever")
	heartbeat := flags.Duration("heartbeat", time.Minute, "interval offered to clients")
	definitions := flags.String("definitions", "", "file of users, permissions, policies, queues and so on to bring about, as RabbitMQ exports them; read again on SIGHUP")
	repair := flags.Bool("repair", false, "go on without the records of files in which nothing can be read, and with files whose damaged headers do not follow from the rest")
	level := flags.String("log-level", "info", "debug, info, warn or error")
	flags.Usage = func() {}

	fail := func(err error) (server.Config, int, bool) {
		fmt.Fprintf(errOut, "millrace serve: %s; see 'millrace serve --help'\n", oneLine(err))
		return server.Config{}, exitUsage, true
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(out, "Run the broker.\n\nUsage: millrace serve [flags]\n\n%s\nSizes are written 512KiB, 64MiB, 1GiB; durations 500ms, 10m, 72h.\n", flags.FlagUsages())
		return server.Config{}, exitOK, true
	case err != nil:
		return fail(err)
	case flags.NArg() > 0:
		return fail(fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	cfg = server.Config{
		Data: *data, Listen: *listen, SegmentSize: int64(segmentSize), RetainBytes: int64(retainBytes), RetainTime: *retainTime,
		MemoryLimit: server.MemoryLimit(memory), DiskFreeLimit: int64(diskFree), Repair: *repair, Version: version,
		CheckpointEvery: *checkpoint, ConsumerTimeout: cmp.Or(*consumerTimeout, -1), MaxMessageSize: int64(maxMessage),
		Heartbeat: *heartbeat, Definitions: *definitions,
	}
	cfg.TLSListen, cfg.TLS, cfg.CertificateName = *tlsListen, tls, *certName
	if cfg.TLS.Verify = server.VerifyMode(*verify); cfg.TLS.Verify == server.VerifyNone {
		cfg.TLS.Verify = ""
	}
	cfg.First = server.FirstStart{User: *defaultUser, Password: *defaultPass, VHost: *defaultVHost}
	if cfg.First.Password == "" {
		cfg.First.Password = os.Getenv(passwordVariable)
	}
	cfg.LoopbackUsers, cfg.Limits = *loopback, limits
	if slices.Equal(cfg.LoopbackUsers, []string{"none"}) {
		cfg.LoopbackUsers = []string{}
	}
	var errs []error
	if *consumerTimeout < 0 {
		errs = append(errs, fmt.Errorf("--consumer-timeout %v is negative", *consumerTimeout))
	}
	switch *sync {
	case "disk":
		cfg.Sync = wal.SyncDisk
	case "os":
		cfg.Sync = wal.SyncOS
	default:
		errs = append(errs, fmt.Errorf("--sync is %q, not disk or os", *sync))
	}
	var minimum slog.Level
	if err := minimum.UnmarshalText([]byte(*level)); err != nil {
		errs = append(errs, fmt.Errorf("--log-level is %q, not debug, info, warn or error", *level))
	}
	cfg.Logger = slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: minimum}))
	if err := errors.Join(append(errs, cfg.Validate())...); err != nil {
		return fail(err)
	}
	return cfg, 0, false
}

// startLine says where the server listens, where the data lies and what was recovered.
func startLine(s *server.Server, cfg server.Config) string {
	r := s.Recovery()
	recovered := fmt.Sprintf("recovered %d queues, %d messages in %v (%d records replayed)",
		r.Queues, r.Messages, r.Duration.Round(100*time.Microsecond), r.Replayed)
	if r.Rebuilt {
		recovered += ", index rebuilt from the log"
	}
	if n := len(r.Log.Quarantined); n > 0 {
		recovered += fmt.Sprintf(", %d damaged records set aside", n)
	}
	where := listenAddress(s.Addr())
	if secure := s.TLSAddr(); secure != nil {
		where += ", with TLS on " + listenAddress(secure)
	}
	return fmt.Sprintf("millrace %s listening on %s, data in %s, sync %s, %s",
		cfg.Version, where, cfg.Data, cfg.Sync, recovered)
}

func listenAddress(a net.Addr) string {
	if strings.HasPrefix(a.String(), "[::]:") {
		return "0.0.0.0" + strings.TrimPrefix(a.String(), "[::]")
	}
	return a.String()
}

// oneLine words an error in one line; joined errors stand behind each other.
func oneLine(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var path *os.PathError
	if errors.As(err, &path) && errors.Is(err, os.ErrPermission) {
		text += " (check the owner and mode of the folder)"
	}
	return text
}
