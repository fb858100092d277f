package ospf

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// While a recorded network converges, its routers exchange databases by sequence numbers, and ask for LSAs, that depend on
// which packet came first. So the neighbours say hello and flood as recorded, but describe, ask and acknowledge by
// themselves: they have what they described or flooded in the recording.
type hPeer struct {
	iface   string
	router  wire.RouterID
	address netip.Addr
	area    wire.AreaID
	mtu     uint16
	options wire.Options
	offers  map[wire.LSAKey]wire.LSAHeader
	told    []wire.LSAKey // of those that were flooded, in order

	sequence uint32
	master   bool
}

func (p *player) peerOf(r hReceived) *hPeer {
	key := r.name + " " + r.ok.Router.String()
	if p.peers[key] == nil {
		p.peers[key] = &hPeer{iface: r.name, router: r.ok.Router, mtu: 1500, offers: map[wire.LSAKey]wire.LSAHeader{}}
	}
	q := p.peers[key]
	q.address, q.area = r.Src, r.ok.Area
	return q
}

// scope is where an LSA that came over the peer's interface belongs.
func (q *hPeer) scope(v wire.Version, k wire.LSAKey) string {
	switch k.Type.Scope(v) {
	case wire.ScopeAS:
		return "as"
	case wire.ScopeArea:
		return "area " + q.area.String()
	}
	return "link " + q.iface
}

// study takes what a recorded packet says of its sender, before anything is played.
func (q *hPeer) study(p *player, body wire.Body) {
	switch b := body.(type) {
	case *wire.DatabaseDescription:
		q.mtu, q.options = b.MTU, b.Options
		for _, h := range b.Headers {
			if h.Age < wire.MaxAge {
				q.offers[h.LSAKey] = h
			}
		}
	case *wire.Update:
		for _, l := range b.LSAs {
			q.told = append(q.told, l.LSAKey)
			s := q.scope(p.v, l.LSAKey)
			if p.pool[s] == nil {
				p.pool[s] = map[wire.LSAKey]wire.LSA{}
			}
			if have, ok := p.pool[s][l.LSAKey]; !ok || wire.Compare(l.LSAHeader, have.LSAHeader) > 0 {
				p.pool[s][l.LSAKey] = l
			}
		}
	}
}

// hear decides of a recorded packet from the peer, and reports whether that was all.
func (q *hPeer) hear(p *player, r hReceived) bool {
	switch b := r.ok.Body.(type) {
	case *wire.Hello:
		return false
	case *wire.Update:
		b.LSAs = slices.DeleteFunc(b.LSAs, func(l wire.LSA) bool { return l.Router == p.router })
		return len(b.LSAs) == 0
	}
	return true
}

func (q *hPeer) say(p *player, body wire.Body) {
	x := &wire.Packet{Version: p.v, Router: q.router, Area: q.area, Body: body}
	dst := p.v.AllRouters()
	if i := p.iface(q.iface); i == nil || !i.local.IsValid() {
		return
	} else if i.cfg.Network.designates() {
		dst = i.local
	}
	p.loop.Post(Name, core.ReceivedIP{Interface: q.iface, Source: q.address, Destination: dst, Protocol: wire.Protocol, TTL: 1,
		Payload: x.Append(nil, wire.Key{}, q.address, dst)})
}

// answer is what the peers that a packet of ours reaches say to it.
func (p *player) answer(s core.SendIP) {
	x, err := wire.Parse(p.v, s.Payload, s.Source, s.Destination)
	if err != nil {
		p.t.Errorf("we send what does not read: %v", err)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(p.peers)) {
		q := p.peers[k]
		if q.iface != s.Interface || !s.Destination.IsMulticast() && s.Destination != q.address || !q.address.IsValid() {
			continue
		}
		switch b := x.Body.(type) {
		case *wire.DatabaseDescription:
			q.describe(p, b)
		case *wire.Request:
			q.supply(p, b)
		case *wire.Update:
			q.acknowledge(p, b)
		}
	}
}

// describe is the other side of RFC 2328 10.8.
func (q *hPeer) describe(p *player, b *wire.DatabaseDescription) {
	begins := b.Flags&wire.DDInit != 0
	if begins {
		q.master = q.router > p.router
		q.sequence = uint32(q.router)
	}
	answer := &wire.DatabaseDescription{MTU: q.mtu, Options: q.options, Sequence: b.Sequence}
	switch {
	case begins && q.master:
		answer.Flags, answer.Sequence = wire.DDInit|wire.DDMore|wire.DDMaster, q.sequence
	case q.master && b.Sequence != q.sequence:
		return
	case q.master && q.sequence > uint32(q.router) && b.Flags&wire.DDMore == 0:
		return // both have said all
	case q.master:
		if q.sequence == uint32(q.router) {
			answer.Headers = q.list(p)
		}
		q.sequence++
		answer.Flags, answer.Sequence = wire.DDMaster, q.sequence
	case begins:
		answer.Headers = q.list(p)
	}
	q.say(p, answer)
}

// list is what the peer has that it can supply.
func (q *hPeer) list(p *player) (list []wire.LSAHeader) {
	for k := range q.offers {
		if l, ok := p.pool[q.scope(p.v, k)][k]; ok && k.Router != p.router && l.Age < wire.MaxAge {
			list = append(list, l.LSAHeader)
		}
	}
	slices.SortFunc(list, func(a, b wire.LSAHeader) int { return a.LSAKey.Compare(b.LSAKey) })
	return list
}

func (q *hPeer) supply(p *player, b *wire.Request) {
	u := &wire.Update{}
	for _, k := range b.Keys {
		if l, ok := p.pool[q.scope(p.v, k)][k]; ok {
			u.LSAs = append(u.LSAs, l)
		}
	}
	q.say(p, u)
}

func (q *hPeer) acknowledge(p *player, b *wire.Update) {
	a := &wire.Ack{}
	for _, l := range b.LSAs {
		a.Headers = append(a.Headers, l.LSAHeader)
	}
	q.say(p, a)
}

// converge plays how a router of a topology came to be, then floods the newest of all that was told to it.
func (p *player) converge(events []hObject) {
	p.answers = true
	for _, d := range events {
		if kind, raw := hEvent(d); kind == "NetRxPacket" {
			if r := p.read(raw); r.ok != nil && r.name != "" && !p.remote(r) {
				p.peerOf(r).study(p, r.ok.Body)
			}
		}
	}
	for _, d := range events {
		p.play(d)
	}
	for _, k := range slices.Sorted(maps.Keys(p.peers)) {
		q := p.peers[k]
		for _, key := range q.told {
			if l := p.pool[q.scope(p.v, key)][key]; key.Router != p.router && l.Age < wire.MaxAge {
				q.say(p, &wire.Update{LSAs: []wire.LSA{l}})
				p.run()
			}
		}
	}
	p.acknowledgeAll()
	p.rest()
	for range 3 { // what the routes call for may call for routes
		p.fire(&p.inst().spfTimer)
	}
	p.answers, p.sent = false, nil
}

// acknowledgeAll lets the peers acknowledge what they have not: what they saw others flood on a LAN.
func (p *player) acknowledgeAll() {
	for _, n := range p.inst().neighbors() {
		q := p.peers[n.i.name()+" "+n.router.String()]
		a := &wire.Ack{}
		for _, e := range n.waits {
			a.Headers = append(a.Headers, e.header(p.loop.Now()))
		}
		if q != nil && len(a.Headers) > 0 {
			q.say(p, a)
			p.run()
		}
	}
}
