package nhrp

import (
	"fmt"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
)

// The direct path to a router is watched by BFD from when it gets its adjacency until it loses it, where the tunnel is
// configured to. Only a path that worked and failed counts (RFC 5882 section 3.2): who does not speak BFD is looked after
// by refreshes and checks alone. A hub waits for its clients to begin, so that it says nothing to thousands that do not.

func (b *binding) target() liveness.Target {
	return liveness.Target{Peer: b.protocol, Interface: b.t.name()}
}

// watch asks for the path to be watched.
func (b *binding) watch(env *core.Env) {
	want := liveness.Watch{Target: b.target(), Passive: b.server == nil && b.peer == nil}
	if b.watched != want {
		b.watched = want
		env.Request(liveness.BFD, want)
	}
}

func (b *binding) unwatch(env *core.Env) {
	if b.watched != (liveness.Watch{}) {
		b.watched = liveness.Watch{}
		env.Request(liveness.BFD, liveness.Unwatch{Target: b.target()})
	}
}

// lives hears of a path.
func (m *Module) lives(env *core.Env, s liveness.State) {
	t := m.tunnels[s.Interface]
	if t == nil || s.Status != liveness.Down {
		return
	}
	if b := t.bindings[s.Peer]; b != nil && b.watched.Target == s.Target {
		b.pathFailed(env, "BFD: "+s.Reason)
	}
}

// heard has a hub asked again at once that has not answered the last time: its routing speaks to us, so the way is there, and
// what it has of us may end before the next time has come. Routes by it would lead nowhere then.
func (m *Module) heard(env *core.Env, h liveness.Heard) {
	t := m.tunnels[h.Interface]
	if t == nil || !t.up {
		return
	}
	for _, s := range t.servers {
		for _, hub := range s.hubs {
			for _, r := range slices.Clone(hub.regs) {
				if r.protocol == h.Peer && r.tries > 0 {
					r.begin(env)
				}
			}
		}
	}
}

// pathFailed gives up what hangs on the path to a router: our registration with it moves to another, and shortcuts through it
// give way to the hub. A registration with us stays until it expires: the client may have made it again before we noticed
// what made it do so, and would not do it a third time.
func (b *binding) pathFailed(env *core.Env, reason string) {
	b.t.log(env, core.Warn, "path-failed", "peer", b.endpoint(), "protocol", b.protocol, "cause", reason)
	if x := b.peer; x != nil && x.up {
		x.dropAt(env, stageAdjacency, fmt.Sprintf("direct path to %v at %v was lost: %s; back on the hub", b.protocol, x.nbma, reason))
	}
	if r := b.server; r != nil {
		r.pathFailed(env, reason)
	}
}

// pathFailed moves what the hub did for us to another at once, and tries to register with it again.
func (r *registration) pathFailed(env *core.Env, reason string) {
	r.lost(env, reason)
	for _, o := range r.hub.regs {
		if o == r {
			r.begin(env)
			return
		}
	}
}
