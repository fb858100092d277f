package ike

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// SARow is one row of `show sas`: a peer, and what protects the traffic with it.
type SARow struct {
	Profile       string  `json:"profile"`
	Local         string  `json:"local" table:",wide"`
	Remote        string  `json:"remote"`
	LocalID       string  `json:"localId" table:",wide"`
	RemoteID      string  `json:"remoteId"`
	State         string  `json:"state"`             // up down
	IKE           string  `json:"ike" table:",wide"` // suite of the IKE SA
	Suite         string  `json:"suite"`
	Mode          string  `json:"mode" table:",wide"`
	Encapsulation string  `json:"encapsulation" table:"via"`   // esp, udp
	PathMTU       int     `json:"pathMtu" table:"mtu,empty=-"` // octets of the outer packet; 0 = not known
	SPIIn         string  `json:"spiIn" table:",wide"`
	SPIOut        string  `json:"spiOut" table:",wide"`
	BytesIn       uint64  `json:"bytesIn" table:",wide"`
	BytesOut      uint64  `json:"bytesOut" table:",wide"`
	PacketsIn     uint64  `json:"packetsIn" table:"in"`
	PacketsOut    uint64  `json:"packetsOut" table:"out"`
	RekeyIn       float64 `json:"rekeyIn"` // seconds
	UpFor         float64 `json:"upFor"`   // seconds

	Drops map[string]uint64 `json:"drops" table:",optional,wide"`
}

// IKERow is one row of `show ike`: an IKE SA, a peer that is being tried, or one that was turned away.
type IKERow struct {
	Profile  string   `json:"profile"`
	Local    string   `json:"local" table:",wide"`
	Remote   string   `json:"remote"`
	LocalID  string   `json:"localId" table:",wide"`
	RemoteID string   `json:"remoteId"`
	State    string   `json:"state"`              // established, IKE_SA_INIT, IKE_AUTH, waiting, refused …
	Role     string   `json:"role" table:",wide"` // initiator responder
	Suite    string   `json:"suite"`
	Method   string   `json:"method" table:",wide"` // how the peer proved its identity
	NAT      string   `json:"nat"`                  // none local remote both
	Flags    []string `json:"flags" table:",wide"`  // mobike fragmentation spokeway
	Children int      `json:"children" table:",wide"`
	RekeyIn  float64  `json:"rekeyIn"` // seconds
	UpFor    float64  `json:"upFor"`   // seconds
	Reason   string   `json:"reason" table:",optional"`
}

// SAs are the rows of `show sas`, by remote address.
func (m *Module) SAs(now time.Duration, stats []dataplane.SAStats) (rows []SARow) {
	by := map[dataplane.SA]dataplane.SAStats{}
	for _, s := range stats {
		by[s.SA] = s
	}
	for _, p := range m.sortedPeers() {
		rows = append(rows, p.row(now, by[p.handle]))
	}
	return rows
}

func (m *Module) sortedPeers() []*peer {
	return slices.SortedFunc(maps.Values(m.peers), func(a, b *peer) int {
		if c := a.place.Compare(b.place); c != 0 {
			return c
		}
		return int(a.to.Port()) - int(b.to.Port())
	})
}

func (p *peer) row(now time.Duration, stats dataplane.SAStats) SARow {
	s := p.newest()
	r := SARow{
		Profile: p.profile.Name, Local: endpointText(p.from), Remote: endpointText(p.to), LocalID: s.ownIdentity().String(), RemoteID: p.identity.String(),
		State: "down", IKE: s.suite.String(), PathMTU: stats.PathMTU, Encapsulation: "esp", BytesIn: stats.BytesIn, BytesOut: stats.BytesOut,
		PacketsIn: stats.PacketsIn, PacketsOut: stats.PacketsOut, Drops: stats.Drops,
	}
	if p.to.Port() != 0 {
		r.Encapsulation = "udp"
	}
	if c := p.active; c != nil {
		r.State, r.Suite, r.Mode = "up", c.suite.String(), c.mode()
		r.SPIIn, r.SPIOut = fmt.Sprintf("%08x", c.spi), fmt.Sprintf("%08x", c.peerSPI)
		r.RekeyIn, r.UpFor = (c.soft.At() - now).Seconds(), (now - p.since).Seconds()
	}
	return r
}

func endpointText(e netip.AddrPort) string {
	if e.Port() == 0 {
		return e.Addr().String()
	}
	return e.String()
}

// IKE are the rows of `show ike`: the IKE SAs, then the peers that are waited for, then those that were turned away.
func (m *Module) IKE(now time.Duration) (rows []IKERow) {
	for _, s := range m.sortedSAs() {
		if !s.over {
			rows = append(rows, s.row(now))
		}
	}
	for _, w := range m.sortedWants() {
		if w.trying == nil && w.reason != "" {
			rows = append(rows, IKERow{
				Profile: w.profile.Name, Local: w.local.String(), Remote: w.remote.String(), State: "waiting", Role: "initiator",
				Flags: []string{}, Reason: w.reason, RekeyIn: (w.retry.At() - now).Seconds(),
			})
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(m.refused), netip.Addr.Compare) {
		r := m.refused[a]
		rows = append(rows, IKERow{
			Remote: a.String(), RemoteID: r.identity, State: "refused", Role: "responder", Flags: []string{}, Reason: fmt.Sprintf("%s (%d times)", r.reason, r.count),
		})
	}
	return rows
}

func (s *sa) row(now time.Duration) IKERow {
	r := IKERow{
		Profile: s.profile.Name, Local: s.local.String(), Remote: s.remote.String(), LocalID: s.ownIdentity().String(), State: s.phase.String(),
		Role: "responder", NAT: s.nat(), Method: s.method, Children: len(s.children), Flags: []string{},
	}
	if s.identity.Kind != 0 {
		r.RemoteID = s.identity.String()
	}
	if s.initiator {
		r.Role = "initiator"
	}
	if s.keys != nil {
		r.Suite = s.suite.String()
	}
	for _, f := range []struct {
		is   bool
		name string
	}{{s.mobike, "mobike"}, {s.fragments, "fragmentation"}, {s.spokeway, "spokeway"}} {
		if f.is {
			r.Flags = append(r.Flags, f.name)
		}
	}
	if s.phase == established {
		r.RekeyIn, r.UpFor = (s.lifetime.At() - now).Seconds(), (now - s.since).Seconds()
	}
	return r
}

func (s *sa) nat() string {
	switch {
	case s.natLocal && s.natRemote:
		return "both"
	case s.natLocal:
		return "local"
	case s.natRemote:
		return "remote"
	}
	return "none"
}

// Counters are what the module counted, by name.
func (m *Module) Counters() map[string]uint64 { return maps.Clone(m.counters) }

// ClearCounters sets them to zero.
func (m *Module) ClearCounters() { clear(m.counters) }

// Stage is one step on the way to a protected peer, for `why`.
type Stage struct {
	Name   string // profile, IKE_SA_INIT, IKE_AUTH, child SA, path MTU
	State  string // ok, waiting, failed
	Detail string
	Remedy string
}

// Why is how far protection with an underlay address has come, stage by stage; nothing when it is not known here.
func (m *Module) Why(remote netip.Addr, now time.Duration) (stages []Stage) {
	for _, p := range m.sortedPeers() {
		if p.place == remote {
			stages = append(stages, p.why(now)...)
		}
	}
	if len(stages) > 0 {
		return stages
	}
	for _, w := range m.sortedWants() {
		if w.remote == remote {
			stages = append(stages, w.why(now)...)
		}
	}
	if r := m.refused[remote]; r != nil && len(stages) == 0 {
		stages = append(stages, Stage{Name: "IKE", State: "failed", Detail: fmt.Sprintf("it came to us and was turned away %d times: %s", r.count, r.reason), Remedy: Remedy(r.reason)})
	}
	return stages
}

// WhySA is [Module.Why] for the peer of a handle: several may share an address.
func (m *Module) WhySA(sa dataplane.SA, now time.Duration) []Stage {
	if p := m.peers[sa]; p != nil {
		return p.why(now)
	}
	return nil
}

func (p *peer) why(now time.Duration) []Stage {
	s := p.newest()
	stages := []Stage{{Name: "IKE", State: "ok", Detail: fmt.Sprintf(
		"%s proved itself by %s %s ago; %s, NAT: %s", p.identity, s.method, (now - s.since).Round(time.Second), s.suite, s.nat())}}
	c := p.active
	if c == nil {
		return append(stages, Stage{Name: "ESP", State: "waiting", Detail: "there are no keys for traffic: a child SA is being made"})
	}
	how := "IP protocol 50"
	if p.to.Port() != 0 {
		how = "UDP " + p.to.String()
	}
	detail := fmt.Sprintf("%s, %s mode, in %s", c.suite, c.mode(), how)
	if p.mtu > 0 {
		detail += fmt.Sprintf("; packets of %d octets fit on the way", p.mtu)
	}
	return append(stages, Stage{Name: "ESP", State: "ok", Detail: detail})
}

func (w *want) why(now time.Duration) []Stage {
	if s := w.trying; s != nil {
		st := Stage{Name: "IKE", State: "waiting", Detail: fmt.Sprintf("%s with %s is under way since %s", s.phase, s.remote, (now - s.begunAt).Round(100*time.Millisecond))}
		if w.reason != "" {
			st.Detail += "; the last attempt failed: " + w.reason
			st.Remedy = Remedy(w.reason)
		}
		return []Stage{st}
	}
	if w.reason == "" {
		return []Stage{{Name: "IKE", State: "waiting", Detail: "about to begin"}}
	}
	return []Stage{{Name: "IKE", State: "failed", Detail: fmt.Sprintf("%s; next attempt in %s", w.reason, max(w.retry.At()-now, 0).Round(time.Second)), Remedy: Remedy(w.reason)}}
}
