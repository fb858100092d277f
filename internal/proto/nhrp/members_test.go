package nhrp

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// membersOnly is what the data plane was told last.
func (r *router) membersOnly() (only, told bool) {
	for _, e := range slices.Backward(r.effects) {
		if e, ok := e.(dataplane.SetMembers); ok {
			return e.Only, true
		}
	}
	return false, false
}

// heard is what the data plane knows of whose packets a source is that of.
func (r *router) heard(nextHop string) (forwards, bound bool) {
	for _, e := range slices.Backward(r.effects) {
		if e, ok := e.(dataplane.SetAdjacency); ok && e.NextHop.String() == nextHop {
			return e.Forwards, e.Bound
		}
	}
	r.w.t.Fatalf("%v has no adjacency %s", r.nbma, nextHop)
	return false, false
}

// asks is a resolution request in a router's words, from whomever.
func (r *router) asks(source, destination string, hops uint8) Packet {
	t := r.module.tunnels[testTunnel]
	p := t.packet(ResolutionRequest, netip.MustParseAddr(source), netip.MustParseAddr(destination))
	p.RequestID, p.HopCount, p.Extensions = 0x77, hops, t.requestExtensions(nil)
	p.CIEs = []CIE{{}}
	return *t.authenticate(p)
}

func TestTheDataPlaneKnowsWhoseASourceIs(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	if row := spoke1.peer("10.100.0.12"); row.State != "up" {
		t.Fatalf("no direct path: %+v", row)
	}
	for _, c := range []struct {
		name            string
		of              *router
		nextHop         string
		forwards, bound bool
	}{
		{"a client of a hub speaks for itself", hub, "10.100.0.11", false, true},
		{"a server passes on", spoke1, "10.100.0.1", true, true},
		{"a spoke's peer speaks for itself", spoke1, "10.100.0.12", false, true},
	} {
		if forwards, bound := c.of.heard(c.nextHop); forwards != c.forwards || bound != c.bound {
			t.Errorf("%s: forwards %v, bound %v", c.name, forwards, bound)
		}
	}
	clear, _, _, _ := cloud(t)
	for _, e := range clear.routers[0].effects {
		if a, ok := e.(dataplane.SetAdjacency); ok && (a.Forwards || a.Bound) {
			t.Errorf("in clear nobody proves who it is: %+v", a)
		}
		if _, ok := e.(dataplane.SetMembers); ok {
			t.Error("in clear everybody is listened to")
		}
	}
}

func TestMembersOfAHub(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world, hub, spoke1, stranger *router)
		only bool
	}{
		{"everybody registers", func(*world, *router, *router, *router) {}, true},
		{"a client asks for itself", func(_ *world, hub, spoke1, _ *router) {
			hub.receiveBy(spoke1, spoke1.asks("10.100.0.11", "10.100.0.1", 255))
		}, true},
		{"a client passes on what another region asks of the hub", func(_ *world, hub, spoke1, _ *router) {
			hub.receiveBy(spoke1, spoke1.asks("10.101.0.50", "10.100.0.1", 254))
		}, false},
		{"a client passes on what another region asks of a network behind the hub", func(_ *world, hub, spoke1, _ *router) {
			hub.receiveBy(spoke1, spoke1.asks("10.101.0.50", "172.16.0.9", 254))
		}, false},
		{"of a network behind another client", func(_ *world, hub, spoke1, _ *router) {
			hub.receiveBy(spoke1, spoke1.asks("10.101.0.50", "192.168.12.9", 254))
		}, true},
		{"a stranger asks", func(_ *world, hub, _, stranger *router) {
			hub.receiveBy(stranger, stranger.asks("10.100.0.66", "172.16.0.9", 255))
		}, true},
		{"the tunnel is another after a pause", func(_ *world, hub, spoke1, _ *router) {
			hub.receiveBy(spoke1, spoke1.asks("10.101.0.50", "172.16.0.9", 254))
			hub.post(core.Notice{From: "tunnel", Body: dataplane.TunnelDown{Name: testTunnel, Reason: "no underlay"}})
			hub.linkUp("10.100.0.1/24")
		}, true},
	} {
		w, hub, spoke1, _ := protectedCloud(t, false)
		hub.route("172.16.0.0/16", "", "eth1")
		stranger := w.addProtected("stranger", "10.0.0.66", "10.0.0.66", "10.100.0.66/24", Config{Authentication: "secret"})
		w.join(hub, stranger)
		w.run(0)
		c.do(w, hub, spoke1, stranger)
		w.run(0)
		if only, told := hub.membersOnly(); !told || only != c.only {
			t.Errorf("%s: members only %v, told %v", c.name, only, told)
		}
		if only, told := spoke1.membersOnly(); !told || only {
			t.Errorf("%s: a spoke hears members only", c.name)
		}
	}
}

// Who is not listened to is not told that it would be: it would keep a direct path that leads nowhere.
func TestAProbeThatNobodyListensTo(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	stranger := w.addProtected("stranger", "10.0.0.66", "10.0.0.66", "10.100.0.66/24", Config{Authentication: "secret"})
	w.join(hub, stranger)
	w.run(0)
	for _, c := range []struct {
		name     string
		from     *router
		source   string
		answered int
	}{{"a client's", spoke1, "10.100.0.11", 1}, {"a stranger's", stranger, "10.100.0.66", 0}} {
		w.mark()
		hub.receiveBy(c.from, c.from.asks(c.source, "10.100.0.1", 1))
		if n := len(w.sent(hub, ResolutionReply)); n != c.answered {
			t.Errorf("%s: %d answers, want %d", c.name, n, c.answered)
		}
	}
	if n := hub.counter("probe-of-stranger"); n != 1 {
		t.Errorf("%d counted", n)
	}
	hub.receiveBy(spoke1, spoke1.asks("10.101.0.50", "10.100.0.1", 254)) // the stranger, by way of one we know
	w.mark()
	if hub.receiveBy(stranger, stranger.asks("10.100.0.66", "10.100.0.1", 1)); len(w.sent(hub, ResolutionReply)) != 1 {
		t.Error("who was told where we are is not answered")
	}
}
