package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/tools/command"
)

// serveCommand is 'millrace serve'.
func serveCommand() *cobra.Command {
	var given serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the broker",
		Long: "Run the broker until SIGINT, SIGTERM or, without --definitions, SIGHUP.\n\n" +
			"Sizes are written 512KiB, 64MiB, 1GiB; durations 500ms, 10m, 72h.",
		Example: `
  millrace serve
  millrace serve --data /var/lib/millrace --listen 0.0.0.0:5672 --definitions definitions.json
  MILLRACE_DEFAULT_PASS=… millrace serve --default-user ann --default-vhost /shop
  millrace serve --tls-listen 0.0.0.0:5671 --tls-cert server.pem --tls-key server.key`,
		GroupID: command.GroupBroker,
	}
	given.declare(c.Flags())
	given.complete(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := given.config(c.ErrOrStderr())
		if err != nil {
			return command.Usage(err)
		}
		return serve(c.Context(), cfg, c.OutOrStdout())
	}
	return c
}

// serve runs the broker until it is told to stop.
func serve(ctx context.Context, cfg server.Config, out io.Writer) error {
	hangup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	s, err := server.Open(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, startLine(s, cfg))
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	err = untilStopped(ctx, s, cfg, served, hangup)
	if err := errors.Join(err, s.Shutdown()); err != nil {
		return err
	}
	cfg.Logger.Info("stopped")
	return nil
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
		case <-s.Failed():
			// There is one log, so nothing is left that could be served with any promise. A supervisor that starts
			// us again finds out whether the disk has been mended.
			cfg.Logger.Error("stopping: the log has failed")
			return nil // Shutdown says why
		case <-hangup:
			if cfg.Definitions == "" {
				cfg.Logger.Info("stopping: hang-up")
				return nil
			}
			if err := s.ReloadDefinitions(); err != nil {
				cfg.Logger.Error("definitions not applied", "error", command.Line(err))
			}
		}
	}
}

// startLine says where the server listens, where the data lies and what was recovered.
func startLine(s *server.Server, cfg server.Config) string {
	r := s.Recovery()
	recovered := fmt.Sprintf("recovered %d queues, %d messages in %v (%d records replayed)",
		r.Queues, r.Messages, r.Duration.Round(100*time.Microsecond), r.Replayed)
	if r.Rebuilt {
		recovered += ", index rebuilt from the log"
	}
	if n := r.Log.Lost(); n > 0 {
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
