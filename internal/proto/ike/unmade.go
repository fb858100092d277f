package ike

import (
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// unmade is an SA whose child the data plane has no keys of: it looks well, and carries nothing. It is closed, and who wants the
// peer tries again. When that comes to the same, the next is closed later and later, for either end begins anew at once.
type unmade struct {
	s      *sa
	reason string
	end    core.Timer
}

// unmades is how often that happened of late.
type unmades struct {
	count int
	last  time.Duration
}

const unmadeMemory = 10 * time.Minute

// pause is how long the SA waits for its end: the first not at all, then a second, and twice as long each time.
func (u *unmades) pause(now time.Duration) time.Duration {
	if now-u.last > unmadeMemory {
		u.count = 0
	}
	u.last = now
	u.count++
	if u.count == 1 {
		return 0
	}
	return min(firstRetry<<min(u.count-2, 10), lastRetry)
}

// refusedKeys hears that the data plane could not do what a child needs.
func (m *Module) refusedKeys(env *core.Env, f dataplane.Failed) {
	s := m.saOfKeys(f)
	if s == nil || s.phase != established || s.unmade != nil {
		return
	}
	u := &unmade{s: s, reason: "the data plane refuses to " + f.Doing + ": " + f.Err}
	u.end = core.Timer{Name: "end of SA without keys", Of: u}
	s.unmade = u
	env.Arm(&u.end, m.unmades.pause(env.Now()))
}

// saOfKeys is the IKE SA of the child that keys were of: known by our SPI, or outbound by the peer's.
func (m *Module) saOfKeys(f dataplane.Failed) *sa {
	p := m.peers[f.SA]
	if p == nil {
		return nil
	}
	for _, s := range p.sas {
		for _, c := range s.children {
			if f.Out && c.peerSPI == f.SPI || !f.Out && c.spi == f.SPI {
				return s
			}
		}
	}
	return nil
}

// expired implements owner.
func (u *unmade) expired(env *core.Env, _ *core.Timer) {
	if u.s.phase == established {
		u.s.childless(env, u.reason)
	}
}
