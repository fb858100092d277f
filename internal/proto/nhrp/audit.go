package nhrp

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
)

// Size is how much the module holds, for those who check that it gives everything back.
type Size struct {
	Clients   int // registered here
	Peers     int // found by resolution
	Shortcuts int
	Lookups   int // under way, or failed of late
	Waiting   int // requests of ours without a reply
	Needs     int // addresses that SAs are asked for with
}

// Size counts what is held on all tunnels.
func (m *Module) Size() Size {
	var n Size
	for _, t := range m.tunnels {
		n.Shortcuts += t.cuts.Size()
		n.Lookups += len(t.lookups)
		n.Waiting += len(t.byID)
		n.Needs += len(t.needs)
		for _, b := range t.bindings {
			if b.client != nil {
				n.Clients++
			}
			if b.peer != nil {
				n.Peers++
			}
		}
	}
	return n
}

// Audit checks the module's state against itself and against the timers of its own that are armed, and says what does
// not agree: a timer that nothing alive owns, something alive that no timer will ever end, an index that points at
// nothing. It changes nothing. It is for tests and simulations.
func (m *Module) Audit(armed iter.Seq[*core.Timer]) []string {
	a := &auditor{owned: map[*core.Timer]bool{}}
	for _, t := range m.sorted() {
		a.tunnel(t)
	}
	for timer := range armed {
		if !a.owned[timer] {
			a.say("timer %q is armed, and nothing alive owns it", timer.Name)
		}
	}
	slices.Sort(a.findings)
	return a.findings
}

type auditor struct {
	owned    map[*core.Timer]bool
	findings []string
}

func (a *auditor) say(format string, args ...any) {
	a.findings = append(a.findings, fmt.Sprintf(format, args...))
}

// own notes a timer that may be armed; waits says that it has to be.
func (a *auditor) own(timer *core.Timer, waits bool) {
	a.owned[timer] = true
	if waits && !timer.Armed() {
		a.say("timer %q is not armed, and nothing else will wake its owner", timer.Name)
	}
}

func (a *auditor) tunnel(t *tunnel) {
	live := map[transaction]bool{}
	for _, s := range t.servers {
		a.server(s, live)
	}
	a.bindings(t, live)
	for dst, l := range t.lookups {
		a.own(&l.timer, true)
		live[l] = l.state == asking
		if l.dst != dst {
			a.say("lookup of %v is filed under %v", l.dst, dst)
		}
	}
	a.shortcuts(t)
	for id, x := range t.byID {
		if !live[x] {
			a.say("request %d waits for a reply on behalf of nothing alive", id)
		}
	}
	a.answers(t)
	a.protection(t)
}

// protection holds that every SA that is asked for has somebody who needs it, and that nothing leaves by one that is gone.
func (a *auditor) protection(t *tunnel) {
	users := map[netip.Addr]int{}
	for _, h := range t.byPriority() {
		if h.needs {
			users[h.nbma]++
		}
	}
	seeking := 0
	for _, b := range t.bindings {
		if b.peer != nil && b.peer.ensured {
			users[b.peer.nbma]++
		}
		if b.peer != nil && t.link.Protected && !b.peer.up {
			seeking++
		}
		if b.installed && t.link.Protected && t.m.sas[b.adjacency.SA] == nil {
			a.say("adjacency of %v leaves by SA %d, which is gone", b.protocol, b.adjacency.SA)
		}
	}
	if seeking != len(t.seeking) {
		a.say("%d peers are listed as looking for an SA, %d do", len(t.seeking), seeking)
	}
	for nbma, n := range t.needs {
		if n.users != users[nbma] {
			a.say("an SA with %v is asked for by %d, needed by %d", nbma, n.users, users[nbma])
		}
		delete(users, nbma)
	}
	for nbma := range users {
		a.say("an SA with %v is needed and not asked for", nbma)
	}
	a.places(t)
}

// places holds that bindings are listed under all that they hang on, and that this is there.
func (a *auditor) places(t *tunnel) {
	for p, list := range t.at {
		for _, b := range list {
			if sources := b.sources(); t.bindings[b.protocol] != b || !slices.Contains(sources[:], p) {
				a.say("binding of %v is listed at %s, where it is not", b.protocol, t.show(p))
			}
		}
	}
	for _, b := range t.bindings {
		for _, p := range b.sources() {
			switch {
			case p == place{}:
			case !slices.Contains(t.at[p], b):
				a.say("binding of %v hangs on %s and is not listed there", b.protocol, t.show(p))
			case t.link.Protected && t.m.sas[p.sa] == nil:
				a.say("binding of %v hangs on SA %d, which is gone", b.protocol, p.sa)
			}
		}
	}
}

func (a *auditor) server(s *server, live map[transaction]bool) {
	a.own(&s.resolve, false)
	if _, err := netip.ParseAddr(s.cfg.NBMA); err != nil && s.t.up && !s.asked && !s.resolve.Armed() {
		a.say("server %s will never be resolved again", s.cfg.NBMA)
	}
	for _, h := range s.hubs {
		a.own(&h.settle, false)
		for _, r := range h.regs {
			a.own(&r.timer, s.t.up)
			live[r] = true
			if b := s.t.bindings[r.protocol]; r.up && r.protocol.IsValid() && (b == nil || b.server == nil || !b.server.up) {
				a.say("registration of %v with %v is up, and its binding does not know", r.local, h.nbma)
			}
		}
	}
}

func (a *auditor) bindings(t *tunnel, live map[transaction]bool) {
	clients := 0
	for protocol, b := range t.bindings {
		switch {
		case b.protocol != protocol:
			a.say("binding of %v is filed under %v", b.protocol, protocol)
		case b.server == nil && b.client == nil && b.peer == nil:
			a.say("binding of %v has no source", protocol)
		case b.live() != b.installed:
			a.say("binding of %v: live %t, in the data plane %t", protocol, b.live(), b.installed)
		case b.server != nil && !b.server.up:
			a.say("binding of %v is a server's that is not up", protocol)
		}
		if b.client != nil {
			clients++
			a.own(&b.client.expires, true)
		}
		if b.peer != nil {
			a.own(&b.peer.timer, true)
			live[b.peer] = b.peer.id != 0
		}
	}
	if clients != t.clients {
		a.say("%d clients are counted, %d are there", t.clients, clients)
	}
}

func (a *auditor) shortcuts(t *tunnel) {
	for prefix, s := range t.cuts.All() {
		a.own(&s.expires, true)
		a.own(&s.renew, false)
		if t.bindings[s.via.protocol] != s.via {
			a.say("shortcut %v goes through a binding of %v that is gone", prefix, s.via.protocol)
		}
		if s.live && !s.via.live() {
			a.say("shortcut %v is a route through %v, which is not reachable", prefix, s.via.protocol)
		}
		if !slices.Contains(s.via.cuts, s) {
			a.say("shortcut %v is unknown to its binding %v", prefix, s.via.protocol)
		}
	}
	for protocol, b := range t.bindings {
		for _, s := range b.cuts {
			if held, ok := t.cuts.Get(s.prefix); !ok || held != s {
				a.say("binding of %v lists shortcut %v, which is gone", protocol, s.prefix)
			}
		}
	}
}

func (a *auditor) answers(t *tunnel) {
	n := 0
	for _, list := range t.answered.All() {
		n += len(list)
	}
	if n != t.answers {
		a.say("%d answers are counted, %d are there", t.answers, n)
	}
}
