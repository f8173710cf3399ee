package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
)

// ErrNoBroker says that no broker answers at a data folder's socket.
var ErrNoBroker = errors.New("no broker answers")

// Client asks the broker of a data folder.
type Client struct {
	data string
	http http.Client
}

// Dial finds out whether a broker answers in a data folder: if not, the error matches ErrNoBroker.
func Dial(data string) (*Client, error) {
	var dialer net.Dialer
	connect := func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = within(data, name, func(path string) (err error) {
			conn, err = dialer.DialContext(ctx, "unix", path)
			return err
		})
		return conn, err
	}
	conn, err := connect(context.Background(), "", "")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w at %s: %w", ErrNoBroker, filepath.Join(data, name), err)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	conn.Close()
	return &Client{data: data, http: http.Client{Transport: &http.Transport{DialContext: connect}}}, nil
}

// Backup has the broker make an empty or missing folder, given by its absolute path, a copy of its data folder. When ctx
// ends, the broker gives up and tidies up.
func (c *Client) Backup(ctx context.Context, to string) (done Backup, err error) {
	body, err := json.Marshal(map[string]string{"to": to})
	if err != nil {
		return done, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://millrace/backup", bytes.NewReader(body))
	if err != nil {
		return done, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return done, fmt.Errorf("ask the broker for a backup: %w", err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode == http.StatusOK {
		err = decoder.Decode(&done)
		return done, err
	}
	var failed failure
	if err := decoder.Decode(&failed); err != nil || failed.Error == "" {
		failed.Error = "the broker answers " + response.Status
	}
	if response.StatusCode == http.StatusConflict {
		return done, Refused(errors.New(failed.Error))
	}
	return done, errors.New(failed.Error)
}
