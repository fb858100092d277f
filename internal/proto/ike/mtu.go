package ike

import (
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Path MTU discovery by probes, RFC 8899, for paths whose routers tell nothing. A probe is a message of IKE of the size in
// question; it goes to the port that ESP in UDP goes to. One that is lost is sent again in small fragments, so that the
// exchange ends and the window moves on (RFC 7383 section 2.5.2). It works with every peer that knows fragmentation.

const (
	probeKind     wire.NotifyType = 40969 // private use, RFC 7296 section 3.10.1: ignored by who does not know it
	probeTries                    = 2     // of the whole message
	probeAgain                    = 10 * time.Minute
	probeStart                    = time.Second
	probeStep                     = 8 // octets that are not worth a probe
	everywhere4                   = 576
	everywhere6                   = 1280
	longestProbed                 = 9216
)

// discovery is the search for what fits on the way to a peer: low does, high does not.
type discovery struct {
	p         *peer
	low, high int
	timer     core.Timer
}

// startProbing begins a search, soon.
func (p *peer) startProbing(env *core.Env) {
	s := p.newest()
	if s == nil || !p.profile.DiscoverMTU || !s.fragments {
		return
	}
	if p.probing == nil {
		p.probing = &discovery{p: p}
		p.probing.timer = core.Timer{Name: "path MTU", Of: p.probing}
	}
	env.Arm(&p.probing.timer, env.Jitter(probeStart, 0.5))
}

func (p *peer) stopProbing(env *core.Env) {
	if p.probing != nil {
		env.Stop(&p.probing.timer)
		p.probing = nil
	}
}

// least is what every path carries.
func (s *sa) least() int {
	if s.remote.Addr().Is6() {
		return everywhere6
	}
	return everywhere4
}

// expired: time to search, from what the underlay's interface carries.
func (d *discovery) expired(env *core.Env, _ *core.Timer) {
	s := d.p.newest()
	if s == nil || s.phase != established {
		return
	}
	d.low, d.high = s.least(), min(s.m.linkMTU(s.local.Addr()), longestProbed)+1
	d.try(env, s, d.high-1)
}

func (d *discovery) try(env *core.Env, s *sa, size int) {
	if size <= d.low {
		d.found(env)
		return
	}
	s.enqueue(env, &probe{d, size})
}

// found tells the data plane, and begins again after a while: paths change.
func (d *discovery) found(env *core.Env) {
	if d.p.mtu != d.low {
		d.p.mtu = d.low
		env.Emit(dataplane.SetPathMTU{SA: d.p.handle, MTU: d.low})
		env.Log(core.Debug, "path-mtu", "peer", d.p.to, "mtu", d.low)
	}
	env.Arm(&d.timer, env.Jitter(probeAgain, 0.2))
}

// probe is a message that makes a packet of a certain size.
type probe struct {
	d    *discovery
	size int // octets with the IP header
}

func (t *probe) start(env *core.Env, s *sa) bool {
	if s.phase != established || s.peer != t.d.p || t.d.p.probing != t.d {
		return false
	}
	r := s.request
	r.exchange, r.id = wire.Informational, s.nextID
	s.nextID++
	p := wire.Payloads{&wire.Notify{Kind: probeKind, Data: make([]byte, s.filling(t.size))}}
	r.datagrams = s.seal(r.exchange, r.id, false, p, 0)
	r.small = s.seal(r.exchange, r.id, false, p, s.least()-s.outer())
	s.transmit(env, r)
	return true
}

// notifyLen is a notify without SPI and data.
const notifyLen = 8

// filling is how much data fills a packet of a size.
func (s *sa) filling(size int) int {
	room, c := size-s.outer()-wire.HeaderLen-genericLen, s.cipher(true)
	n := room - notifyLen
	for n > 0 && n+notifyLen+c.Overhead(n+notifyLen) > room {
		n--
	}
	return max(n, 0)
}

// answered implements task. An answer after the small fragments says nothing of the size.
func (t *probe) answered(env *core.Env, s *sa, _ wire.Payloads) {
	d := t.d
	if d.p.probing != d || s.peer != d.p {
		return
	}
	if s.lastTries <= probeTries {
		d.low = t.size
	} else {
		d.high = t.size
	}
	if d.high-d.low <= probeStep {
		d.found(env)
		return
	}
	d.try(env, s, (d.low+d.high)/2)
}

// linkMTU is that of the interface with a local address.
func (m *Module) linkMTU(local netip.Addr) int {
	if mtu := m.linkMTUs[local]; mtu > 0 {
		return mtu
	}
	return ethernet
}

// ethernet stands in for what is not known.
const ethernet = 1500

func (m *Module) link(l core.Link) {
	for _, p := range l.Addresses {
		m.linkMTUs[p.Addr()] = l.MTU
	}
}
