package sim

import (
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// listens are the raw sockets of a process.
type listens map[socket]core.Listen

// socket is what there is one of: by interface, protocol and family.
type socket struct {
	on       string
	protocol uint8
	ipv6     bool
}

func (l listens) set(e core.Listen) {
	at := socket{e.Interface, e.Protocol, e.IPv6}
	if len(e.Groups) == 0 {
		delete(l, at)
		return
	}
	e.Groups = slices.Clone(e.Groups)
	l[at] = e
}

// heard gives a datagram to the module that listens for it; false when none does.
func (p *process) heard(in *Interface, d *dataplane.Datagram) bool {
	body, ok := d.Body.(dataplane.Other)
	if p == nil || !ok {
		return false
	}
	l, ok := p.listens[socket{in.Name, body.Protocol, d.Destination.Is6()}]
	if !ok || !slices.Contains(l.Groups, d.Destination) && p.node.local[d.Destination] == nil {
		return false
	}
	p.post(l.Module, core.ReceivedIP{
		Interface: in.Name, Source: d.Source, Destination: d.Destination, Protocol: body.Protocol, TTL: d.TTL, Payload: body.Payload,
	})
	return true
}

// sendIP sends out of an interface, whatever the routes say, to a destination on its link.
func (n *Node) sendIP(e core.SendIP) {
	out := n.byName[e.Interface]
	if out == nil || out.down || !e.Source.IsValid() {
		n.count("send: no interface, or it is down")
		return
	}
	d := &dataplane.Datagram{
		Source: e.Source, Destination: e.Destination, TTL: e.TTL, Class: e.TOS,
		Size: dataplane.HeaderLen(e.Destination) + len(e.Payload), Body: dataplane.Other{Protocol: e.Protocol, Payload: e.Payload},
	}
	if d.Size > out.mtu {
		d.Fragment = out.mtu
	}
	n.transmit(nil, out, rib.NextHop{Interface: out.Name}, d)
}
