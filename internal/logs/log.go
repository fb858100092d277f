package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Format is how records are written.
type Format string

const (
	Logfmt Format = "logfmt" // for people
	JSON   Format = "json"   // for programs
)

// Log takes records and hands them on. Its methods may be called from any goroutine.
type Log struct {
	level atomic.Int64 // of what is written
	least atomic.Int64 // the lowest level anybody wants
	debug atomic.Pointer[map[string]bool]

	mu   sync.Mutex // guards subs, and changes of the fields above
	subs map[*Subscription]bool
	out  slog.Handler
}

// New makes a log that writes to w at level info.
func New(w io.Writer, f Format) *Log {
	l := &Log{subs: map[*Subscription]bool{}}
	opts := &slog.HandlerOptions{Level: slog.Level(-100), ReplaceAttr: rename(f)}
	if f == JSON {
		l.out = slog.NewJSONHandler(w, opts)
	} else {
		l.out = slog.NewTextHandler(w, opts)
	}
	l.debug.Store(&map[string]bool{})
	return l
}

// rename gives the fixed attributes our names and prints durations for the reader at hand.
func rename(f Format) func([]string, slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.MessageKey:
			a.Key = "event"
		case a.Key == slog.LevelKey:
			a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
		}
		if f == JSON && a.Value.Kind() == slog.KindDuration {
			a.Value = slog.Float64Value(a.Value.Duration().Seconds())
		}
		return a
	}
}

// Logger is a logger that feeds l.
func (l *Log) Logger() *slog.Logger { return slog.New(handler{log: l, out: l.out}) }

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("log level %q: want debug, info, warn or error", s)
}

// SetLevel changes what is written.
func (l *Log) SetLevel(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level.Store(int64(level))
	l.settle()
}

// Debug starts or ends writing everything about a peer, named by protocol or NBMA address.
func (l *Log) Debug(peer string, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	peers := maps.Clone(*l.debug.Load())
	if on {
		peers[peer] = true
	} else {
		delete(peers, peer)
	}
	l.debug.Store(&peers)
	l.settle()
}

// Debugged are the peers being debugged, sorted.
func (l *Log) Debugged() []string { return slices.Sorted(maps.Keys(*l.debug.Load())) }

// settle works out the lowest level anybody wants. l.mu is held.
func (l *Log) settle() {
	least := l.level.Load()
	if len(*l.debug.Load()) > 0 {
		least = min(least, int64(slog.LevelDebug))
	}
	for s := range l.subs {
		least = min(least, int64(s.filter.Level))
	}
	l.least.Store(least)
}

// handler is the slog side of a Log.
type handler struct {
	log   *Log
	out   slog.Handler
	attrs []slog.Attr // given by With
	group string      // dotted prefix of the keys
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.log.least.Load()
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	l := h.log
	wanted := int64(r.Level) >= l.level.Load()
	if peers := *l.debug.Load(); !wanted && len(peers) > 0 {
		e := h.event(r)
		for p := range peers {
			wanted = wanted || e.about(p)
		}
	}
	l.publish(h, r)
	if !wanted {
		return nil
	}
	return h.out.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		a.Key = h.group + a.Key
		h.attrs = append(slices.Clip(h.attrs), a)
	}
	h.out = h.out.WithAttrs(attrs)
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	h.group += name + "."
	h.out = h.out.WithGroup(name)
	return h
}

// event makes a value of a record.
func (h handler) event(r slog.Record) Event {
	e := Event{
		Time: r.Time.Round(time.Microsecond), Level: strings.ToLower(r.Level.String()), Event: r.Message,
		Attributes: map[string]any{}, level: r.Level,
	}
	for _, a := range h.attrs {
		e.set("", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		e.set(h.group, a)
		return true
	})
	return e
}
