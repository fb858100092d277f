package nhrp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// What a server keeps of its clients over an orderly restart, so that they are reached at once and not only when they register
// again. On a protected tunnel their SAs end with the process, and with these the registrations: there they are told to come
// again, as soon as they can.

func (t *tunnel) keepKey() string { return "nhrp/" + t.name() + "/clients" }

// pause is goodbye for somebody who comes back: what we said of ourselves stays true.
func (t *tunnel) pause(env *core.Env) {
	switch {
	case !t.up:
	case t.link.Protected:
		t.dismiss(env)
	default:
		env.Emit(core.Store{Key: t.keepKey(), Value: t.kept(env)})
	}
}

// kept is the clients as text: protocol address, endpoint, address claimed, unique, request ID, and the end of the holding time
// by the wall clock.
func (t *tunnel) kept(env *core.Env) string {
	var b strings.Builder
	for _, n := range t.sortedBindings() {
		if c := n.client; c != nil {
			until := env.Wall().Add(c.expires.At() - env.Now()).Unix()
			fmt.Fprintf(&b, "%v %v %v %t %d %d\n", n.protocol, c.place.at, c.claimed, c.unique, c.id, until)
		}
	}
	return b.String()
}

// recall registers the clients of before a restart again, as if each had asked just now: what the configuration forbids meanwhile
// is not believed.
func (t *tunnel) recall(env *core.Env) {
	text := t.m.stored[t.keepKey()]
	if text == "" {
		return
	}
	delete(t.m.stored, t.keepKey())
	env.Emit(core.Store{Key: t.keepKey()})
	if t.link.Protected {
		return
	}
	for line := range strings.Lines(text) {
		protocol, as, until, ok := parseKept(strings.Fields(line))
		left := until.Sub(env.Wall())
		if !ok || left <= 0 || left > time.Duration(1<<16-1)*time.Second {
			continue
		}
		as.identity = t.identity(as.place)
		if code, _ := t.judge(env, protocol, protocol, as); code == Success {
			t.admit(env, protocol, as, uint16(left/time.Second)+1)
		}
	}
}

func parseKept(f []string) (protocol netip.Addr, as client, until time.Time, ok bool) {
	if len(f) != 6 {
		return protocol, as, until, false
	}
	protocol, err := netip.ParseAddr(f[0])
	at, err1 := parseEndpoint(f[1])
	claimed, err2 := netip.ParseAddr(f[2])
	id, err3 := strconv.ParseUint(f[4], 10, 32)
	seconds, err4 := strconv.ParseInt(f[5], 10, 64)
	for _, e := range []error{err, err1, err2, err3, err4} {
		if e != nil {
			return protocol, as, until, false
		}
	}
	as = client{place: place{at: at}, claimed: claimed, unique: f[3] == "true", id: uint32(id)}
	return protocol, as, time.Unix(seconds, 0), true
}

func parseEndpoint(s string) (dataplane.Endpoint, error) { return netip.ParseAddrPort(s) }
