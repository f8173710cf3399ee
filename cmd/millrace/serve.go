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

	"github.com/millrace-mq/millrace/server"
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
				cfg.Logger.Error("definitions not applied", "error", oneLine(err))
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

// oneLine words an error in one line; joined errors stand behind each other.
func oneLine(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var path *os.PathError
	if errors.As(err, &path) && errors.Is(err, os.ErrPermission) {
		text += " (check the owner and mode of the folder)"
	}
	return text
}
