package nhrp

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Whom the data plane of a protected tunnel listens to. Where we register with nobody, everybody who has something to send
// registers with us: who has an SA and was refused, or did not ask, has no word. But a router of another region, or one that
// prefers another hub, comes straight to us when it has resolved what lies behind us. Its request came by somebody we know;
// from the first such on the cloud is open to them.

// expect opens the cloud for a requester that was told where we are and is registered with none of our tunnels.
func (m *Module) expect(env *core.Env, network uint32, requester netip.Addr) {
	var cloud []*tunnel
	for _, t := range m.sorted() {
		if t.cfg.NetworkID != network {
			continue
		}
		if b := t.bindings[requester]; b != nil && b.client != nil {
			return
		}
		cloud = append(cloud, t)
	}
	for _, t := range cloud {
		if !t.expects {
			t.expects = true
			t.listen(env)
		}
	}
}

// membersOnly reports whether who has not registered is not listened to.
func (t *tunnel) membersOnly() bool {
	return t.link.Protected && len(t.cfg.Servers) == 0 && !t.expects
}

// listen tells the data plane whom to listen to.
func (t *tunnel) listen(env *core.Env) {
	if t.up && t.link.Protected {
		env.Emit(dataplane.SetMembers{Tunnel: t.name(), Only: t.membersOnly()})
	}
}

// isStrangersProbe reports whether a request asks whether we hear what we do not: to answer would keep a way that leads nowhere.
func (t *tunnel) isStrangersProbe(p *Packet, from place) bool {
	return p.HopCount <= 1 && t.membersOnly() && !t.isPeer(from)
}
