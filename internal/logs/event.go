package logs

import (
	"encoding"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Event is a log record as a value. One with Lost set stands for that many events that the reader was too slow for.
type Event struct {
	Time       time.Time      `json:"time"`
	Level      string         `json:"level"`
	Event      string         `json:"event"`
	Attributes map[string]any `json:"attributes"` // strings, numbers and booleans; durations in seconds
	Lost       int            `json:"lost,omitempty"`

	level slog.Level
}

// Filter says which events are wanted. Empty fields want all.
type Filter struct {
	Level  slog.Level // this and above
	Peer   string     // protocol or NBMA address
	Tunnel string
	Event  string // beginning of the name: "nhrp." or "nhrp.registered"
}

// keys that name what an event is about.
var (
	peerKeys   = []string{"peer", "nbma", "protocol", "server", "source", "destination"}
	tunnelKeys = []string{"tunnel", "interface"}
)

func (f Filter) match(e Event) bool {
	return e.level >= f.Level && strings.HasPrefix(e.Event, f.Event) &&
		(f.Peer == "" || e.about(f.Peer)) &&
		(f.Tunnel == "" || e.has(tunnelKeys, func(v string) bool { return v == f.Tunnel }))
}

// about reports whether one of the addresses of the event is the peer's.
func (e Event) about(peer string) bool {
	return e.has(peerKeys, func(v string) bool {
		if v == peer {
			return true
		}
		ap, err := netip.ParseAddrPort(v)
		return err == nil && ap.Addr().String() == peer
	})
}

func (e Event) has(keys []string, match func(string) bool) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		v, ok := e.Attributes[k].(string)
		return ok && match(v)
	})
}

// set adds an attribute under its dotted name.
func (e *Event) set(group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		for _, m := range v.Group() {
			e.set(group+a.Key+".", m)
		}
	case slog.KindDuration:
		e.Attributes[group+a.Key] = v.Duration().Round(time.Microsecond).Seconds()
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		e.Attributes[group+a.Key] = v.Any()
	default:
		e.Attributes[group+a.Key] = text(v)
	}
}

func text(v slog.Value) string {
	if m, ok := v.Any().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
	}
	return v.String()
}

// String is the event as one line for people: time of day, level, name, then tunnel, peer and the rest by name.
func (e Event) String() string {
	if e.Lost > 0 {
		return fmt.Sprintf("%s lost %d events: this reader is too slow", e.Time.Format("15:04:05.000"), e.Lost)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s %s", e.Time.Format("15:04:05.000"), e.Level, e.Event)
	first := []string{"tunnel", "peer"}
	for _, k := range first {
		e.write(&b, k)
	}
	for _, k := range slices.Sorted(maps.Keys(e.Attributes)) {
		if !slices.Contains(first, k) {
			e.write(&b, k)
		}
	}
	return b.String()
}

func (e Event) write(b *strings.Builder, key string) {
	v, ok := e.Attributes[key]
	if !ok {
		return
	}
	s := fmt.Sprint(v)
	if s == "" || strings.ContainsAny(s, " \"=\n\t") {
		s = strconv.Quote(s)
	}
	b.WriteString(" " + key + "=" + s)
}
