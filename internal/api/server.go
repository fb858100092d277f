package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/query"
)

// Limits of the server. A caller that is slower or wants more is cut off; the router does not wait for it.
const (
	maxRequests   = 64 // at once, monitors not counted: those are bounded by package logs
	maxHeader     = 16 << 10
	maxArguments  = 16
	headerTimeout = 5 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
	goodbye       = time.Second
)

// Options says what a server answers with.
type Options struct {
	Source  query.Source
	Log     *logs.Log
	Version string
}

// Version is the answer to `version`, of the daemon.
type Version struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

// Serve answers requests on a listener until ctx ends. On a [Socket] the callers are known; a caller that is not
// may look but change nothing.
func Serve(ctx context.Context, l net.Listener, opts Options) error {
	s := &server{Options: opts, slots: make(chan struct{}, maxRequests), done: ctx.Done()}
	h := &http.Server{
		Handler:           s.mux(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withCaller,
		ErrorLog:          slog.NewLogLogger(opts.Log.Logger().Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		h.Shutdown(bounded)
		h.Close()
	})
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

type callerKey struct{}

func withCaller(ctx context.Context, c net.Conn) context.Context {
	if cc, ok := c.(callerConn); ok {
		return context.WithValue(ctx, callerKey{}, cc.caller)
	}
	return ctx
}

type server struct {
	Options
	slots chan struct{}
	done  <-chan struct{} // the server is ending
}

func (s *server) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/version", s.handle(s.version))
	mux.Handle("GET /v1/show/{name}", s.handle(s.show))
	mux.Handle("GET /v1/why", s.handle(s.why))
	mux.Handle("GET /v1/debug", s.handle(s.debugged))
	mux.HandleFunc("GET /v1/monitor", s.monitor)
	mux.HandleFunc("GET /v1/capture", s.capture)
	mux.Handle("GET /metrics", MetricsHandler(s.Source, s.Version))
	mux.Handle("POST /v1/clear/{name}", s.change(s.clear))
	mux.Handle("POST /v1/reload", s.change(s.reload))
	mux.Handle("POST /v1/restart", s.change(s.restart))
	mux.Handle("POST /v1/debug", s.change(s.debug))
	mux.Handle("/", s.handle(func(r *http.Request) (any, error) {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, query.ErrNotFound)
	}))
	return mux
}

// handle answers one request with the JSON of what f returns.
func (s *server) handle(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			fail(w, errBusy)
			return
		}
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if rows, ok := v.(rows); ok {
			query.JSON(w, rows.any)
			return
		}
		json.NewEncoder(w).Encode(v)
	})
}

// rows marks an answer that package query prints.
type rows struct{ any }

// change is handle for requests that change something.
func (s *server) change(f func(*http.Request) (any, error)) http.Handler {
	return s.handle(func(r *http.Request) (any, error) {
		if err := s.trust(r, "api.changed"); err != nil {
			return nil, err
		}
		return f(r)
	})
}

// trust lets in who may change things, and tells what they do.
func (s *server) trust(r *http.Request, event string) error {
	caller, known := r.Context().Value(callerKey{}).(unix.Ucred)
	if !known || !mayChange(caller, os.Geteuid()) {
		return ErrForbidden
	}
	s.Log.Logger().Info(event, "request", strings.TrimPrefix(r.URL.Path, "/v1/"), "arguments", r.URL.RawQuery,
		"uid", caller.Uid, "pid", caller.Pid)
	return nil
}

func mayChange(caller unix.Ucred, daemon int) bool {
	return caller.Uid == 0 || int(caller.Uid) == daemon
}

func (s *server) version(*http.Request) (any, error) {
	return Version{Version: s.Version, PID: os.Getpid()}, nil
}

func (s *server) show(r *http.Request) (any, error) {
	args := r.URL.Query()["arg"]
	if len(args) > maxArguments {
		return nil, fmt.Errorf("%d arguments: %w", len(args), errTooMuch)
	}
	for _, c := range query.Shows() {
		if c.Name == r.PathValue("name") {
			v, err := c.Snapshot(s.Source, args)
			return rows{v}, err
		}
	}
	return nil, fmt.Errorf("show %s: %w", r.PathValue("name"), query.ErrNotFound)
}

func (s *server) why(r *http.Request) (any, error) {
	stages, err := s.Source.Why(r.URL.Query().Get("peer"))
	return rows{stages}, err
}

// Cleared is the answer to `clear`.
type Cleared struct {
	Cleared int `json:"cleared"`
}

func (s *server) clear(r *http.Request) (any, error) {
	n, err := s.Source.Clear(r.PathValue("name"), r.URL.Query().Get("filter"))
	return Cleared{n}, err
}

// Reloaded is the answer to `reload`.
type Reloaded struct {
	Changes []string `json:"changes"`
}

// Restarting is the answer to `restart`.
type Restarting struct {
	Restarting bool `json:"restarting"`
}

func (s *server) restart(r *http.Request) (any, error) {
	err := s.Source.Restart(r.Context())
	return Restarting{err == nil}, err
}

func (s *server) reload(r *http.Request) (any, error) {
	changes, err := s.Source.Reload(r.Context())
	return Reloaded{append([]string{}, changes...)}, err
}

// Debugged is the answer to `debug`.
type Debugged struct {
	Debugged []string `json:"debugged"` // all peers that are being debugged now
}

func (s *server) debug(r *http.Request) (any, error) {
	q := r.URL.Query()
	if q.Get("peer") == "" {
		return nil, fmt.Errorf("debug: no peer: %w", errTooMuch)
	}
	s.Log.Debug(q.Get("peer"), q.Get("on") == "true")
	return s.debugged(r)
}

func (s *server) debugged(*http.Request) (any, error) {
	return Debugged{append([]string{}, s.Log.Debugged()...)}, nil
}

// monitor streams events as JSON lines until the caller goes, or takes too long to read.
func (s *server) monitor(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	sub, err := s.Log.Subscribe(f)
	if err != nil {
		fail(w, fmt.Errorf("%w: %w", err, errBusy))
		return
	}
	defer sub.Close()
	ctx, cancel := s.whileServing(r.Context())
	defer cancel()
	stream(ctx, w, sub)
}

// whileServing ends with the server as well.
func (s *server) whileServing(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func stream(ctx context.Context, w http.ResponseWriter, sub *logs.Subscription) {
	ctl := http.NewResponseController(w)
	ctl.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for {
		ctl.SetWriteDeadline(time.Now().Add(answerTimeout))
		if ctl.Flush() != nil {
			return
		}
		events, err := sub.Next(ctx)
		if err != nil {
			return
		}
		ctl.SetWriteDeadline(time.Now().Add(answerTimeout))
		for _, e := range events {
			if enc.Encode(e) != nil {
				return
			}
		}
	}
}

func filterOf(r *http.Request) (f logs.Filter, err error) {
	q := r.URL.Query()
	if level := q.Get("level"); level != "" {
		if f.Level, err = logs.ParseLevel(level); err != nil {
			return f, fmt.Errorf("%w: %w", err, errTooMuch)
		}
	}
	f.Peer, f.Tunnel, f.Event = q.Get("peer"), q.Get("tunnel"), strings.TrimSuffix(q.Get("event"), "*")
	return f, nil
}
