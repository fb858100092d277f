package spf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// ours is what the router knows of its own links in an area, found by what LSAs call them: a hub has thousands.
type ours struct {
	interfaces map[uint32]*Interface // by the data of links in version 2, by identifier in version 3
	neighbors  map[end]netip.Addr
	links      map[end]netip.Addr // by link-LSAs
}

// An end is a router's interface across one of ours. The number is 0 in version 2.
type end struct {
	on     string
	router wire.RouterID
	iface  uint32
}

func newOurs(v wire.Version, list []Interface) ours {
	o := ours{map[uint32]*Interface{}, map[end]netip.Addr{}, map[end]netip.Addr{}}
	for i := range list {
		f := &list[i]
		o.call(v, f)
		for _, n := range f.Neighbors {
			e := end{f.Name, n.Router, n.Interface}
			if v == wire.V2 {
				e.iface = 0
			}
			o.neighbors[e] = n.Address
		}
		for _, l := range f.Links {
			if b, ok := l.Body.(*wire.LinkLSA); ok && b.Address.IsValid() && !b.Address.IsUnspecified() {
				o.links[end{f.Name, l.Header.Router, l.Header.ID}] = b.Address
			}
		}
	}
	return o
}

// call lists the names of an interface: its identifier, which in version 2 is that of an unnumbered one and below
// 0.0.0.0/8 where nobody has an address, and its addresses. The first interface keeps a name that several have.
func (o *ours) call(v wire.Version, f *Interface) {
	names := []uint32{f.ID}
	if v == wire.V2 {
		for _, p := range f.Addresses {
			names = append(names, wire.Uint4(p.Addr()))
		}
	}
	for _, n := range names {
		if _, ok := o.interfaces[n]; !ok {
			o.interfaces[n] = f
		}
	}
}
