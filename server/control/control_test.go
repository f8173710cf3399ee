package control_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/control"
)

// operator answers with what a test wants.
type operator func(ctx context.Context, to string) (control.Backup, error)

func (o operator) Backup(ctx context.Context, to string) (control.Backup, error) { return o(ctx, to) }

func serve(t *testing.T, data string, o operator) *control.Server {
	t.Helper()
	s, err := control.Listen(data, o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { s.Serve(); close(served) }()
	t.Cleanup(func() { <-served })
	return s
}

func TestAQuestionIsAnswered(t *testing.T) {
	made := control.Backup{Version: "1", First: 2, Last: 3, Mark: 1, Time: time.Unix(4, 0).UTC()}
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30), strings.Repeat("longer", 30))
	if err := os.MkdirAll(long, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"short": t.TempDir(), "a path longer than a socket's address": long} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, data, func(_ context.Context, to string) (control.Backup, error) {
				switch to {
				case "/there":
					return made, nil
				case "/taken":
					return control.Backup{}, control.Refused(errors.New("/taken is not empty"))
				}
				return control.Backup{}, errors.New("disk on fire")
			})
			c, err := control.Dial(data)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Backup(t.Context(), "/there"); err != nil || got != made {
				t.Errorf("%+v, %v", got, err)
			}
			if _, err := c.Backup(t.Context(), "/taken"); !errors.Is(err, control.ErrRefused) || err.Error() != "/taken is not empty" {
				t.Errorf("refused with %v", err)
			}
			if _, err := c.Backup(t.Context(), "/else"); err == nil || errors.Is(err, control.ErrRefused) || err.Error() != "disk on fire" {
				t.Errorf("failed with %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := control.Dial(data); !errors.Is(err, control.ErrNoBroker) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

func TestNobodyElseMayAsk(t *testing.T) {
	data := t.TempDir()
	s := serve(t, data, nil)
	defer s.Close()
	info, err := os.Stat(filepath.Join(data, "control.sock"))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(data)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v beside it: %v", entries, err)
	}
}

// A killed broker leaves its socket, at which nobody answers.
func TestASocketThatWasLeftIsReplaced(t *testing.T) {
	data := t.TempDir()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(data, "control.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := control.Dial(data); !errors.Is(err, control.ErrNoBroker) {
		t.Fatalf("nobody answers: %v", err)
	}
	s := serve(t, data, nil)
	defer s.Close()
	if _, err := control.Dial(data); err != nil {
		t.Error(err)
	}
}

// The end of who asked, and that of the server, end what is under way; Close waits for it.
func TestWhatIsUnderWayIsEnded(t *testing.T) {
	data := t.TempDir()
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	s := serve(t, data, func(ctx context.Context, _ string) (control.Backup, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return control.Backup{}, ctx.Err()
	})
	c, err := control.Dial(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := c.Backup(ctx, "/x"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	<-ended

	answered := make(chan error, 1)
	go func() { _, err := c.Backup(t.Context(), "/x"); answered <- err }()
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Close did not wait")
	}
	if err := <-answered; err == nil {
		t.Error("an answer of a server that was closed")
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	data := t.TempDir()
	s := serve(t, data, nil)
	defer s.Close()
	dial := func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(data, "control.sock"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/backup", "nonsense", 400},
		{"POST", "/backup", `{"from": "/x"}`, 400},
		{"POST", "/backup", `{"to": "` + strings.Repeat("x", 100<<10) + `"}`, 400},
		{"GET", "/backup", "", 405},
		{"POST", "/nothing", "{}", 404},
	} {
		request, err := http.NewRequestWithContext(t.Context(), row.method, "http://millrace"+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != row.status {
			t.Errorf("%s %s %.20s: %s", row.method, row.path, row.body, response.Status)
		}
	}
}
