package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

const (
	askTimeout = 10 * time.Second
	maxAnswer  = 256 << 20
)

// Client asks a daemon by its control socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client; it connects when it asks.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Show asks for the rows of a show command, as JSON.
func (c *Client) Show(ctx context.Context, name string, args []string) ([]byte, error) {
	return c.ask(ctx, "GET", "/v1/show/"+name, url.Values{"arg": args})
}

// Why asks for the stages on the way to a peer.
func (c *Client) Why(ctx context.Context, peer string) (stages []nhrp.Stage, err error) {
	return stages, c.get(ctx, "GET", "/v1/why", url.Values{"peer": {peer}}, &stages)
}

// Clear forgets rows and says how many.
func (c *Client) Clear(ctx context.Context, what, filter string) (int, error) {
	var v Cleared
	err := c.get(ctx, "POST", "/v1/clear/"+what, url.Values{"filter": {filter}}, &v)
	return v.Cleared, err
}

// Reload makes the daemon read its configuration again; it answers with what changed.
func (c *Client) Reload(ctx context.Context) ([]string, error) {
	var v Reloaded
	err := c.get(ctx, "POST", "/v1/reload", nil, &v)
	return v.Changes, err
}

// Restart ends the daemon so that another takes over what it leaves in place.
func (c *Client) Restart(ctx context.Context) error {
	var v Restarting
	return c.get(ctx, "POST", "/v1/restart", nil, &v)
}

// Debugged lists the peers that are being debugged.
func (c *Client) Debugged(ctx context.Context) ([]string, error) {
	var v Debugged
	err := c.get(ctx, "GET", "/v1/debug", nil, &v)
	return v.Debugged, err
}

// Debug starts or ends debugging a peer and lists all that are being debugged then.
func (c *Client) Debug(ctx context.Context, peer string, on bool) ([]string, error) {
	var v Debugged
	err := c.get(ctx, "POST", "/v1/debug", url.Values{"peer": {peer}, "on": {strconv.FormatBool(on)}}, &v)
	return v.Debugged, err
}

// Version asks who is there.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, "GET", "/v1/version", nil, &v)
}

// Monitor calls f for every event that matches until ctx ends, f fails, or the daemon goes.
func (c *Client) Monitor(ctx context.Context, filter logs.Filter, f func(logs.Event) error) error {
	q := url.Values{"level": {filter.Level.String()}, "peer": {filter.Peer}, "tunnel": {filter.Tunnel}, "event": {filter.Event}}
	body, err := c.open(ctx, "GET", "/v1/monitor", q)
	if err != nil {
		return err
	}
	defer body.Close()
	dec := json.NewDecoder(bufio.NewReader(body))
	for {
		var e logs.Event
		if err := dec.Decode(&e); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return &UnreachableError{c.socket, errors.New("the daemon went away")}
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// Capture asks for a peer's packets as pcapng, until the reader is closed or all that was asked for has come.
func (c *Client) Capture(ctx context.Context, r capture.Request) (io.ReadCloser, error) {
	return c.open(ctx, "GET", "/v1/capture", url.Values{
		"peer": {r.Peer}, "inner": {strconv.FormatBool(r.Inner)}, "outer": {strconv.FormatBool(r.Outer)},
		"count": {strconv.Itoa(r.Count)}, "duration": {r.Duration.String()},
	})
}

func (c *Client) get(ctx context.Context, method, path string, q url.Values, v any) error {
	data, err := c.ask(ctx, method, path, q)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, q url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := c.open(ctx, method, path, q)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return nil, &UnreachableError{c.socket, err}
	}
	return data, nil
}

// open sends a request and gives the body of a good answer.
func (c *Client) open(ctx context.Context, method, path string, q url.Values) (io.ReadCloser, error) {
	target := url.URL{Scheme: "http", Host: "spokeway", Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &UnreachableError{c.socket, err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var f failure
	json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&f)
	return nil, remote(resp.StatusCode, f)
}

// UnreachableError says that there is no talking to a daemon, and what may help.
type UnreachableError struct {
	Socket string
	Err    error
}

func (e *UnreachableError) Unwrap() error { return e.Err }

func (e *UnreachableError) Error() string {
	at := "cannot reach the daemon at " + e.Socket
	switch {
	case errors.Is(e.Err, fs.ErrNotExist), errors.Is(e.Err, syscall.ECONNREFUSED):
		return at + ": is it running? start it with `spokeway run`"
	case errors.Is(e.Err, fs.ErrPermission):
		return at + ": permission denied: " + e.groupHint()
	case errors.Is(e.Err, context.DeadlineExceeded):
		return fmt.Sprintf("%s: no answer within %s", at, askTimeout)
	}
	return at + ": " + rootCause(e.Err).Error()
}

// groupHint says which group may use the socket.
func (e *UnreachableError) groupHint() string {
	info, err := os.Stat(e.Socket)
	if err != nil {
		return "use sudo, or let the directory be read"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 {
		return "use sudo, or start the daemon with --group"
	}
	name := strconv.Itoa(int(st.Gid))
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	return fmt.Sprintf("members of group %s may use it: `sudo usermod -aG %s $USER`, then log in again", name, name)
}

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
