package ike

import (
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// metAndMoved are a hub and a spoke that met where the spoke looks for the hub, after which the hub's NAT gave it the
// address elsewhere.
func metAndMoved(t *testing.T) (w *world, hub, spoke *node) {
	w = newWorld(t, 1)
	hub, spoke = w.add("hub", "192.0.2.1", profile(), 0), w.add("spoke", "192.0.2.2", profile(), 0)
	spoke.ensure(hub)
	w.pass(2 * time.Second)
	w.mustPass(spoke, hub)
	s := spoke.ike()
	s.natRemote, s.natLocal = true, false
	spoke.post(dataplane.Roamed{SA: s.peer.handle, Remote: netip.AddrPortFrom(elsewhere, dataplane.NATPort)})
	spoke.run()
	return w, hub, spoke
}

var elsewhere = netip.MustParseAddr("192.0.2.77")

func TestPeerThatMoved(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"when it dies it is sought again where it is wanted": func(t *testing.T) {
			w, hub, spoke := metAndMoved(t)
			wire := w.wire
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			w.pass(10 * time.Minute)
			if len(spoke.downs) == 0 {
				t.Fatalf("still up: %v", spoke.logs)
			}
			w.wire = wire
			hub.boot(profile(), 0)
			w.pass(2 * time.Minute)
			w.mustPass(spoke, hub)
		},
		"it is there still for who wants it": func(t *testing.T) {
			w, hub, spoke := metAndMoved(t)
			ups := len(spoke.ups)
			spoke.ensure(hub)
			w.pass(time.Minute)
			if len(spoke.ups) != ups+1 || len(spoke.module.peers) != 1 || len(spoke.module.sas) != 1 {
				t.Errorf("%d notices, %d peers, %d SAs", len(spoke.ups)-ups, len(spoke.module.peers), len(spoke.module.sas))
			}
		},
		"its SA ends with the need for it": func(t *testing.T) {
			w, hub, spoke := metAndMoved(t)
			spoke.release(hub)
			w.pass(4 * lingerTime)
			if n := len(spoke.module.peers); n != 0 || len(spoke.module.strayed) != 0 || len(spoke.module.at) != 0 {
				t.Errorf("%d peers stay: %v", n, spoke.logs)
			}
		},
		"its SA does not end with somebody else's need at its new address": func(t *testing.T) {
			w, _, spoke := metAndMoved(t)
			for _, body := range []any{
				protect.Ensure{Tunnel: "tun0", Local: spoke.addr, Remote: elsewhere}, protect.Release{Tunnel: "tun0", Local: spoke.addr, Remote: elsewhere},
			} {
				spoke.post(core.Request{Body: body})
				spoke.run()
				w.pass(5 * time.Second)
			}
			if s := spoke.ike(); s == nil || s.request != nil || len(spoke.downs) != 0 {
				t.Errorf("the hub's SA ended: %v", spoke.logs)
			}
		},
	} {
		t.Run(name, test)
	}
}

// What is at an address, and known to be another router, does not keep us from trying to reach the right one.
func TestWantOfAnotherThanIsThere(t *testing.T) {
	w := newWorld(t, 1)
	hub, spoke := w.add("hub", "192.0.2.1", profile(), 0), w.add("spoke", "192.0.2.2", profile(), 0)
	spoke.ensure(hub)
	w.pass(2 * time.Second)
	begun := spoke.counted(CountEstablished)
	spoke.post(core.Request{Body: protect.Ensure{Tunnel: "tun0", Local: spoke.addr, Remote: hub.addr, Not: []dataplane.SA{spoke.ike().peer.handle}}})
	spoke.run()
	w.pass(2 * time.Second)
	if got := spoke.counted(CountEstablished); got != begun+1 {
		t.Errorf("%d attempts that came to something, want 1: %v", got-begun, spoke.logs)
	}
	w.mustPass(spoke, hub)
}

// A peer that proves itself and then refuses each child is asked further and further apart, like one that refuses all.
func TestPauseAfterRefusedChildren(t *testing.T) {
	policy, err := suite.ParseChildPolicy("aes256-sha256")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	other := profile(func(p *Profile) { p.ESP = []suite.Policy{policy} })
	gcm := profile(func(p *Profile) { p.ESP = suite.DefaultChild()[:1] })
	hub, spoke := w.add("hub", "192.0.2.1", other, 0), w.add("spoke", "192.0.2.2", gcm, 0)
	spoke.ensure(hub)
	w.pass(10 * time.Minute)
	if n := spoke.counted(CountEstablished); n < 30 || n > 60 { // a hub is tried every 15 s in the end
		t.Errorf("%d handshakes in ten minutes: %v", n, spoke.logs)
	}
	if len(spoke.ups) != 0 || len(spoke.module.peers) != 0 {
		t.Errorf("%d ups, %d peers", len(spoke.ups), len(spoke.module.peers))
	}
}
