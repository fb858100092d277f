package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var peer = netip.MustParseAddr("10.100.100.12")

func TestLogfmtNamesTheEvent(t *testing.T) {
	var b bytes.Buffer
	New(&b, Logfmt).Logger().Info("nhrp.registered", "tunnel", "tun100", "peer", peer, "holdtime", 5*time.Minute)
	_, line, _ := strings.Cut(b.String(), " ")
	want := "level=info event=nhrp.registered tunnel=tun100 peer=10.100.100.12 holdtime=5m0s\n"
	if line != want {
		t.Errorf("got  %q\nwant %q", line, want)
	}
}

func TestJSONHasSecondsAndStableKeys(t *testing.T) {
	var b bytes.Buffer
	New(&b, JSON).Logger().Warn("nhrp.refused", "peer", peer, "holdtime", 90*time.Second)
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"level": "warn", "event": "nhrp.refused", "peer": "10.100.100.12", "holdtime": 90.0} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	tests := []struct {
		name  string
		setup func(*Log)
		peer  string
		level slog.Level
		want  bool
	}{
		{"info by default", func(*Log) {}, "10.0.0.1", slog.LevelInfo, true},
		{"no debug by default", func(*Log) {}, "10.0.0.1", slog.LevelDebug, false},
		{"level debug", func(l *Log) { l.SetLevel(slog.LevelDebug) }, "10.0.0.1", slog.LevelDebug, true},
		{"level warn", func(l *Log) { l.SetLevel(slog.LevelWarn) }, "10.0.0.1", slog.LevelInfo, false},
		{"debugged peer", func(l *Log) { l.Debug("10.0.0.1", true) }, "10.0.0.1", slog.LevelDebug, true},
		{"debugged peer with a port", func(l *Log) { l.Debug("10.0.0.1", true) }, "10.0.0.1:4754", slog.LevelDebug, true},
		{"peer beside the debugged", func(l *Log) { l.Debug("10.0.0.1", true) }, "10.0.0.12", slog.LevelDebug, false},
		{"debugged no more", func(l *Log) { l.Debug("10.0.0.1", true); l.Debug("10.0.0.1", false) }, "10.0.0.1", slog.LevelDebug, false},
		{"monitored only", func(l *Log) { l.Subscribe(Filter{Level: slog.LevelDebug}) }, "10.0.0.1", slog.LevelDebug, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			l := New(&b, Logfmt)
			tt.setup(l)
			l.Logger().With("peer", tt.peer).Log(context.Background(), tt.level, "nhrp.sent")
			if got := b.Len() > 0; got != tt.want {
				t.Errorf("written: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNobodyWantsDebugMeansDisabled(t *testing.T) {
	l := New(&bytes.Buffer{}, Logfmt)
	enabled := func() bool { return l.Logger().Enabled(context.Background(), slog.LevelDebug) }
	if enabled() {
		t.Error("debug is enabled although nobody wants it")
	}
	s, err := l.Subscribe(Filter{Level: slog.LevelDebug})
	if err != nil || !enabled() {
		t.Errorf("a monitor wants debug: enabled %v, %v", enabled(), err)
	}
	s.Close()
	if enabled() {
		t.Error("debug stays enabled after the monitor left")
	}
}

func TestFilter(t *testing.T) {
	tests := []struct {
		name   string
		filter Filter
		want   bool
	}{
		{"all", Filter{}, true},
		{"peer", Filter{Peer: "10.100.100.12"}, true},
		{"NBMA address behind a port", Filter{Peer: "192.0.2.1"}, true},
		{"another peer", Filter{Peer: "10.100.100.1"}, false},
		{"tunnel", Filter{Tunnel: "tun100"}, true},
		{"beginning of another tunnel", Filter{Tunnel: "tun10"}, false},
		{"event family", Filter{Event: "nhrp."}, true},
		{"another event", Filter{Event: "nhrp.purged"}, false},
		{"level too high", Filter{Level: slog.LevelWarn}, false},
		{"all at once", Filter{Peer: "10.100.100.12", Tunnel: "tun100", Event: "nhrp.registered"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(&bytes.Buffer{}, Logfmt)
				s, _ := l.Subscribe(tt.filter)
				defer s.Close()
				l.Logger().Info("nhrp.registered", "tunnel", "tun100", "peer", peer, "nbma", "192.0.2.1:4754")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				events, _ := s.Next(ctx)
				if got := len(events) == 1; got != tt.want {
					t.Errorf("got %v, want matched %v", events, tt.want)
				}
			})
		})
	}
}

func TestSlowReaderLosesAndIsTold(t *testing.T) {
	l := New(&bytes.Buffer{}, Logfmt)
	s, _ := l.Subscribe(Filter{})
	defer s.Close()
	log := l.Logger()
	for i := range queueLength + 7 {
		log.Info("test.event", "i", i)
	}
	events, err := s.Next(t.Context())
	if err != nil || len(events) != queueLength+1 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	if last := events[queueLength]; last.Lost != 7 {
		t.Errorf("lost %d, want 7", last.Lost)
	}
	log.Info("test.event", "i", -1)
	if events, _ = s.Next(t.Context()); len(events) != 1 || events[0].Lost != 0 {
		t.Errorf("after the gap: %v", events)
	}
}

func TestMonitorsAreBounded(t *testing.T) {
	l := New(&bytes.Buffer{}, Logfmt)
	for range maxReaders {
		if _, err := l.Subscribe(Filter{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Subscribe(Filter{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v, want ErrTooMany", err)
	}
}

func TestEventString(t *testing.T) {
	l := New(&bytes.Buffer{}, Logfmt)
	s, _ := l.Subscribe(Filter{})
	log := l.Logger().WithGroup("wire").With("size", 60)
	log.Info("nhrp.refused", "cause", errors.New("bad password"), slog.Group("code", "number", 9))
	l.Logger().Info("nhrp.up", "zone", "", "peer", peer, "tunnel", "tun100", "rtt", 1500*time.Millisecond)
	events, _ := s.Next(t.Context())
	want := []string{
		`info  nhrp.refused wire.cause="bad password" wire.code.number=9 wire.size=60`,
		`info  nhrp.up tunnel=tun100 peer=10.100.100.12 rtt=1.5 zone=""`,
	}
	for i, e := range events {
		if _, got, _ := strings.Cut(e.String(), " "); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
}
