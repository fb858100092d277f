package nhrp

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Clear is the request that forgets what was learned: "nhrp" is clients and peers, "shortcuts" shortcuts and failed
// resolutions. Filter is a protocol or NBMA address, a prefix or an interface; "" is all. Count is set to how many
// were cleared. Registrations of ours are made anew.
type Clear struct {
	What   string
	Filter string
	Count  *int
}

func (m *Module) clear(env *core.Env, c Clear) {
	for _, t := range m.sorted() {
		if c.What == "shortcuts" || c.What == "nhrp" {
			*c.Count += t.clearShortcuts(env, c.Filter)
		}
		if c.What == "nhrp" {
			*c.Count += t.clearBindings(env, c.Filter)
		}
	}
}

func (t *tunnel) clearShortcuts(env *core.Env, filter string) (n int) {
	for _, s := range t.allCuts() {
		if t.matches(filter, s.prefix.String(), s.via.protocol.String(), s.via.endpoint().Addr().String()) {
			s.end(env, "cleared")
			n++
		}
	}
	for _, l := range sortedLookups(t.lookups) {
		if t.matches(filter, l.dst.String()) {
			l.drop(env)
			n++
		}
	}
	return n
}

func (t *tunnel) clearBindings(env *core.Env, filter string) (n int) {
	for _, b := range t.sortedBindings() {
		if !t.matches(filter, b.protocol.String(), b.endpoint().Addr().String()) {
			continue
		}
		n++
		if b.server != nil {
			r := b.server
			r.down(env, "cleared")
			r.begin(env)
		}
		b.forget(env)
	}
	t.refusals = map[netip.Addr]refusal{}
	return n
}

func (t *tunnel) matches(filter string, names ...string) bool {
	return filter == "" || filter == t.name() || slices.Contains(names, filter)
}

// Cache is `show nhrp`.
func (m *Module) Cache(now time.Duration) []CacheRow {
	var rows []CacheRow
	for _, t := range m.sorted() {
		rows = append(rows, t.localRows()...)
		for _, b := range t.sortedBindings() {
			rows = append(rows, b.row(now))
		}
		rows = append(rows, t.lookupRows(now)...)
	}
	return rows
}

func (t *tunnel) localRows() []CacheRow {
	var rows []CacheRow
	if !t.up {
		return rows
	}
	for _, p := range t.link.Addresses {
		rows = append(rows, CacheRow{
			Interface: t.name(), Type: "local", Protocol: p.Addr(), PrefixLength: p.Addr().BitLen(),
			NBMA: t.link.Local.String(), ClaimedNBMA: t.link.Local.String(), Flags: []string{}, ExpiresIn: -1,
		})
	}
	return rows
}

func (b *binding) row(now time.Duration) CacheRow {
	row := CacheRow{
		Interface: b.t.name(), Type: "dynamic", Protocol: b.protocol, PrefixLength: b.protocol.BitLen(),
		NBMA: show(b.endpoint()), Flags: []string{}, ExpiresIn: -1, Identity: b.t.identity(b.place()),
	}
	if a := b.claimed(); a.IsValid() {
		row.ClaimedNBMA = a.String()
	}
	switch {
	case b.server != nil:
		row.Type = "static"
		row.Flags = append(row.Flags, "server", "registered")
	case b.client != nil:
		row.ExpiresIn = (b.client.expires.At() - now).Seconds()
		row.Flags = append(row.Flags, b.client.flags()...)
	case b.peer != nil && !b.peer.up:
		row.Type, row.Identity = "incomplete", ""
		row.Flags = append(row.Flags, b.peer.state())
	case b.peer != nil:
		row.ExpiresIn = b.longest(now)
		row.Flags = append(row.Flags, "resolved")
	}
	if b.server != nil && b.client != nil {
		row.Flags = append(row.Flags, b.client.flags()...)
	}
	return row
}

func (c *client) flags() []string {
	flags := []string{"client"}
	if c.unique {
		flags = append(flags, "unique")
	}
	if c.natted() {
		flags = append(flags, "nat")
	}
	return flags
}

// longest is the time the last of a peer's shortcuts has, in seconds.
func (b *binding) longest(now time.Duration) float64 {
	var end time.Duration
	for _, s := range b.cuts {
		end = max(end, s.expires.At())
	}
	return max(0, (end - now).Seconds())
}

func (t *tunnel) lookupRows(now time.Duration) []CacheRow {
	var rows []CacheRow
	for _, l := range sortedByAddr(t.lookups) {
		if l.renews != nil || l.state == resting || l.state == settling {
			continue
		}
		rows = append(rows, CacheRow{
			Interface: t.name(), Type: l.state.String(), Protocol: l.dst, PrefixLength: l.dst.BitLen(),
			Flags: []string{}, ExpiresIn: (l.timer.At() - now).Seconds(),
		})
	}
	return rows
}

func sortedByAddr(m map[netip.Addr]*lookup) []*lookup {
	return slices.SortedFunc(maps.Values(m), func(a, b *lookup) int { return a.dst.Compare(b.dst) })
}

// Shortcuts is `show shortcuts`.
func (m *Module) Shortcuts(now time.Duration) []ShortcutRow {
	var rows []ShortcutRow
	for _, t := range m.sorted() {
		for _, s := range t.cuts.AllSorted() {
			rows = append(rows, s.row(now))
		}
		for _, l := range sortedByAddr(t.lookups) {
			if l.renews == nil && (l.state == asking || l.state == negative) {
				rows = append(rows, ShortcutRow{
					Interface: t.name(), Type: l.state.String(), Prefix: host(l.dst),
					ExpiresIn: (l.timer.At() - now).Seconds(), Reason: l.reason,
				})
			}
		}
	}
	return rows
}

func (s *shortcut) row(now time.Duration) ShortcutRow {
	row := ShortcutRow{
		Interface: s.t.name(), Type: "dynamic", Prefix: s.prefix, Via: s.via.protocol,
		NBMA: show(s.via.endpoint()), ExpiresIn: (s.expires.At() - now).Seconds(), Identity: s.t.identity(s.via.place()),
	}
	if !s.live {
		row.Type, row.Identity, row.Reason = "incomplete", "", s.via.waitsFor()
	}
	return row
}

// Peers is `show peers`.
func (m *Module) Peers(now time.Duration) []PeerRow {
	var rows []PeerRow
	for _, t := range m.sorted() {
		for _, s := range t.servers {
			rows = append(rows, s.peerRows(now)...)
		}
		for _, b := range t.sortedBindings() {
			if b.server == nil {
				rows = append(rows, b.peerRow(now))
			}
		}
		rows = append(rows, t.viaHubRows()...)
		rows = append(rows, t.refusalRows(now)...)
	}
	return rows
}

func (s *server) peerRows(now time.Duration) []PeerRow {
	t := s.t
	if len(s.hubs) == 0 {
		return []PeerRow{{
			Interface: t.name(), Protocol: s.cfg.Protocol, NBMA: s.cfg.NBMA, Role: "hub", Path: "direct",
			State: "resolving", Reason: cmp.Or(t.reason, s.reason),
		}}
	}
	var rows []PeerRow
	for _, h := range s.hubs {
		rows = append(rows, h.peerRows(now)...)
	}
	return rows
}

func (h *hub) peerRows(now time.Duration) []PeerRow {
	row := PeerRow{
		Interface: h.s.t.name(), Protocol: h.s.cfg.Protocol, NBMA: show(h.endpoint()), Role: "hub", Path: "direct",
		Identity: h.s.t.identity(h.place()), SA: h.place().sa, State: "waiting", Reason: cmp.Or(h.s.t.reason, "a better server is in use"),
	}
	if len(h.regs) == 0 && h.s.t.up && !h.wantsAny() {
		row.Reason = "at the address of another server, which registers"
	}
	if len(h.regs) == 0 {
		return []PeerRow{row}
	}
	var rows []PeerRow
	for _, r := range h.regs {
		one := row
		one.Protocol, one.Reason, one.State, one.RTT = r.protocol, r.reason, "registering", r.rtt.Seconds()
		switch {
		case r.up:
			one.State, one.UpFor = "up", (now - r.since).Seconds()
		case h.needs && !h.s.t.usable(h.sa):
			one.State, one.Reason = "protecting", cmp.Or(h.s.t.reason, h.unprotected())
		}
		if r.public.IsValid() {
			one.Reason = "behind a NAT that shows us as " + r.public.String()
		}
		rows = append(rows, one)
	}
	return rows
}

func (b *binding) peerRow(now time.Duration) PeerRow {
	row := PeerRow{
		Interface: b.t.name(), Protocol: b.protocol, NBMA: show(b.endpoint()), Role: "spoke", Path: "direct", State: "up",
		Identity: b.t.identity(b.place()), SA: b.place().sa,
	}
	if b.peer != nil {
		row.RTT = b.peer.rtt.Seconds()
	}
	if b.installed {
		row.UpFor = (now - b.since).Seconds()
		return row
	}
	row.Path, row.State, row.Identity, row.SA, row.Reason = "via-hub", "probing", "", 0, b.waitsFor()
	if b.peer != nil {
		row.NBMA, row.State = show(b.peer.endpoint()), b.peer.state()
	}
	return row
}

// state is how far a peer has come that is not up.
func (x *peer) state() string {
	if x.waits() {
		return "protecting"
	}
	return "probing"
}

// waitsFor is what a shortcut that is not usable yet waits for.
func (b *binding) waitsFor() string {
	if x := b.peer; x != nil && x.waits() {
		return cmp.Or(x.why, fmt.Sprintf("waiting for a security association with %v", x.nbma))
	}
	return "waiting for an answer through the direct path"
}

// viaHubRows are the destinations that a hub carries because no direct path was had.
func (t *tunnel) viaHubRows() []PeerRow {
	var rows []PeerRow
	for _, l := range sortedByAddr(t.lookups) {
		if l.renews == nil && (l.state == asking || l.state == negative) && t.bindings[l.dst] == nil {
			rows = append(rows, PeerRow{
				Interface: t.name(), Protocol: l.dst, Role: "spoke", Path: "via-hub",
				State: strings.Replace(l.state.String(), "incomplete", "resolving", 1), Reason: l.reason,
			})
		}
	}
	return rows
}

// refusalLife is how long a refusal is shown.
const refusalLife = 10 * time.Minute

// refusalRows are the clients that a hub turned down.
func (t *tunnel) refusalRows(now time.Duration) []PeerRow {
	var rows []PeerRow
	for _, a := range sortedRefusals(t.refusals) {
		if now-t.refusals[a].at > refusalLife {
			continue
		}
		rows = append(rows, PeerRow{
			Interface: t.name(), Protocol: a, NBMA: show(t.refusals[a].endpoint), Role: "spoke", Path: "direct",
			State: "refused", Identity: t.refusals[a].identity, Reason: fmt.Sprintf("%v ago: %s", (now - t.refusals[a].at).Round(time.Second), t.refusals[a].reason),
		})
	}
	return rows
}

func sortedRefusals(m map[netip.Addr]refusal) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}

// Counters is what was counted, by tunnel and reason.
func (m *Module) Counters() map[string]map[string]uint64 {
	all := map[string]map[string]uint64{}
	for name, t := range m.tunnels {
		all[name] = maps.Clone(t.counters)
	}
	return all
}

// ClearCounters sets the counters to zero.
func (m *Module) ClearCounters() {
	for _, t := range m.tunnels {
		clear(t.counters)
	}
}

// Tunnel is a tunnel as it forwards, or why it does not. It knows those without NHRP too.
func (m *Module) Tunnel(name string) (link dataplane.Tunnel, reason string, up bool) {
	link, up = m.links[name]
	return link, m.reasons[name], up
}

// TunnelOf names the tunnel that the owner of a timer belongs to.
func TunnelOf(of any) string {
	switch o := of.(type) {
	case *server:
		return o.t.name()
	case *hub:
		return o.s.t.name()
	case *registration:
		return o.hub.s.t.name()
	case *client:
		return o.b.t.name()
	case *peer:
		return o.b.t.name()
	case *lookup:
		return o.t.name()
	case *shortcut:
		return o.t.name()
	}
	return ""
}
