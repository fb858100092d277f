package bfd

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/liveness"
)

// Row is one row of `show bfd`.
type Row struct {
	Peer             netip.Addr `json:"peer"`
	Interface        string     `json:"interface"`
	State            string     `json:"state"`            // up down init admin-down
	TransmitInterval float64    `json:"transmitInterval"` // seconds
	ReceiveInterval  float64    `json:"receiveInterval"`  // seconds; what the peer keeps to
	Multiplier       uint8      `json:"multiplier"`       // ours
	UpFor            float64    `json:"upFor"`            // seconds
	Diagnostic       string     `json:"diagnostic"`
	Local            netip.Addr `json:"local" table:",optional"`
	Detection        float64    `json:"detection" table:",optional"` // seconds of silence until the path is down
	Watchers         []string   `json:"watchers" table:",optional"`  // who asked: nhrp, ospf, static …
	Reason           string     `json:"reason" table:",optional"`
}

// Snapshot is what `show bfd` prints.
func (m *Module) Snapshot(now time.Duration) []Row {
	rows := []Row{}
	for _, c := range m.contacts() {
		rows = append(rows, m.row(c, now))
	}
	return rows
}

func (m *Module) row(c *contact, now time.Duration) Row {
	r := c.report
	row := Row{
		Peer: c.spec.Peer, Interface: c.iface, State: Down.String(), Multiplier: c.spec.Multiplier,
		TransmitInterval: r.Transmit.Seconds(), Detection: r.Detection.Seconds(),
		Diagnostic: r.Diagnostic.String(), Local: c.spec.Local, Watchers: c.watchers(), Reason: m.words(c),
	}
	if r.ID != 0 {
		row.State = r.State.String()
	}
	if r.State == Up {
		row.UpFor = (now - c.upSince).Seconds()
	}
	if n := r.Remote.Multiplier; n > 0 {
		row.ReceiveInterval = (r.Detection / time.Duration(n)).Seconds()
	}
	return row
}

// words are the reason of the status; of a passive session that the peer has not begun, that it is the peer's turn; of one from
// an address that is not ours, that.
func (m *Module) words(c *contact) string {
	switch {
	case c.status != liveness.Unknown || c.report.Remote.Discriminator != 0 || c.reason != unanswered:
		return c.reason
	case c.spec.Passive:
		return "the peer has not begun"
	case c.spec.Multihop && !m.isOurs(c.spec.Local):
		return fmt.Sprintf("no interface here has the address %s to watch from", c.spec.Local)
	}
	return c.reason
}

func (m *Module) isOurs(a netip.Addr) bool {
	for _, l := range m.links {
		if l.HasAddress(a) {
			return true
		}
	}
	return false
}

func (c *contact) watchers() []string {
	all := []string{}
	for _, p := range c.paths {
		for _, w := range p.who() {
			all = append(all, w.module)
		}
	}
	slices.Sort(all)
	return all
}

// unanswered is the reason of a session that has not been up.
const unanswered = "the peer has not answered"

// why is the reason of a report's status, in words.
func (c *contact) why(before Report) string {
	if held := c.report.Held; held > 0 {
		return fmt.Sprintf("%s; it flaps, so the session is kept down for %s", c.cause(before), held)
	}
	return c.cause(before)
}

func (c *contact) cause(before Report) string {
	r := c.report
	switch {
	case r.Status == liveness.Up:
		return "packets go both ways"
	case r.Status == liveness.AdminDown:
		return "the peer has switched the session off"
	case r.Diagnostic == DetectionExpired:
		return fmt.Sprintf("no packet from the peer for %s", before.Detection)
	case r.Diagnostic == NeighborDown && r.Remote.Diagnostic == DetectionExpired:
		return "the peer hears nothing from us"
	case r.Diagnostic == NeighborDown && r.Remote.Diagnostic != NoDiagnostic:
		return "the peer says the path is down: " + r.Remote.Diagnostic.String()
	case r.Diagnostic == NeighborDown:
		return "the peer has begun anew"
	}
	return unanswered
}

// Session is what is known of the path to a peer, for `why`.
type Session struct {
	Row
	Status liveness.Status
}

// Sessions are those with a peer.
func (m *Module) Sessions(peer netip.Addr, now time.Duration) (all []Session) {
	for _, c := range m.contacts() {
		if c.spec.Peer == peer.WithZone("") {
			all = append(all, Session{m.row(c, now), c.status})
		}
	}
	return all
}

// Count is a counter of `show counters`.
type Count struct {
	Name  string
	Value uint64
}

// Counts are what the engine has counted.
func (m *Module) Counts() []Count {
	all := []Count{{"sent", m.counted.Sent}, {"received", m.counted.Received}}
	if n := m.counted.Unsent; n > 0 {
		all = append(all, Count{"not sent: the host did not take it", n})
	}
	if n := m.counted.Overflown; n > 0 {
		all = append(all, Count{"dropped: queue full", n})
	}
	for d := BadLength; d < discards; d++ {
		if n := m.counted.Discards[d]; n > 0 {
			all = append(all, Count{"dropped: " + d.Error(), n})
		}
	}
	return all
}
