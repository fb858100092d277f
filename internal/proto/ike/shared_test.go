package ike

import (
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Two tunnels have different profiles. Of two that come to one underlay address one is kept down, whatever their names.
func TestProfileIsThatOfTheTunnelThatIsUp(t *testing.T) {
	for _, c := range []struct{ up, down string }{{"tun0", "tun1"}, {"tun1", "tun0"}} {
		t.Run(c.up+" is up", func(t *testing.T) {
			w := newWorld(t, 1)
			hub, spoke := w.add("hub", "192.0.2.1", profile(), 0), w.add("spoke", "192.0.2.2", profile(), 0)
			spoke.ensure(hub)
			w.pass(2 * time.Second)
			w.mustPass(spoke, hub)

			strict, lax := profile(), profile()
			strict.Name, lax.Name = "strict", "lax"
			strict.PSKs = []PSK{{Peer: patterns("*")[0], Secret: []byte("another that the spoke does not have")}}
			hub.post(core.Request{Body: Configure{
				Profiles: []*Profile{strict, lax},
				Tunnels:  []Tunnel{{Name: c.up, Profile: "strict"}, {Name: c.down, Profile: "lax"}},
			}})
			at := dataplane.Tunnel{Local: hub.addr, Protected: true}
			for _, at.Name = range []string{c.down, c.up} {
				hub.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: at}})
			}
			hub.post(core.Notice{Body: dataplane.TunnelDown{Name: c.down, Reason: "it has another profile"}})
			hub.run()
			if p, _ := hub.module.profileAt(hub.addr); p == nil || p.Name != "strict" {
				t.Errorf("the address has the profile %+v", p)
			}
			w.pass(5 * time.Second)
			if n := len(hub.module.peers); n != 0 {
				t.Errorf("%d peers of the other profile have an SA: %v", n, hub.logs)
			}
			hub.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: c.up, Local: elsewhere, Protected: true}}})
			hub.run()
			if p, _ := hub.module.profileAt(hub.addr); p == nil || p.Name != "lax" {
				t.Errorf("left alone, the address has the profile %+v: what was there before it went down", p)
			}
		})
	}
}

// A profile with another name and all else as it was keeps its SAs. Who goes by the name hears of it.
func TestProfileIsRenamed(t *testing.T) {
	w := newWorld(t, 1)
	hub, spoke := w.add("hub", "192.0.2.1", profile(), 0), w.add("spoke", "192.0.2.2", profile(), 0)
	spoke.ensure(hub)
	w.pass(2 * time.Second)
	renamed := profile()
	renamed.Name = "renamed"
	hub.ups = nil
	hub.post(core.Request{Body: Configure{Profiles: []*Profile{renamed}, Tunnels: []Tunnel{{Name: "tun0", Profile: "renamed"}}}})
	hub.run()
	if len(hub.downs) != 0 || len(hub.ups) != 1 || hub.ups[0].Profile != "renamed" {
		t.Errorf("told %+v and %+v, want one protect.Up of the new name", hub.ups, hub.downs)
	}
	w.mustPass(spoke, hub)
}
