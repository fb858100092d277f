package ike

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

const protocolGRE = 47

// greOf is the selector of all GRE of one host, RFC 7296 section 3.13.1.
func greOf(a netip.Addr) wire.Selector {
	return wire.Selector{Protocol: protocolGRE, EndPort: 0xffff, Start: a, End: a}
}

// selectors are what we ask for: GRE between the two hosts. The addresses are those each side sees as its own; what a
// NAT makes of them is the receiver's business (section 2.23.1).
func (s *sa) selectors() wire.Payloads {
	return wire.Payloads{
		&wire.TS{Initiator: true, Selectors: []wire.Selector{greOf(s.local.Addr())}},
		&wire.TS{Selectors: []wire.Selector{greOf(s.remote.Addr())}},
	}
}

// narrow is the widest part of the selectors that is GRE of one host, ours to answer with (section 2.9). The host is
// want or, where a NAT hides it, the one host that the peer knows it as. A peer may put the packet that made it ask
// first, with a GRE key in place of ports: the wider selector behind it serves all keys.
func narrow(offered []wire.Selector, want netip.Addr, hidden bool) (wire.Selector, bool) {
	var best wire.Selector
	found := false
	for _, o := range offered {
		n, ok := narrowOne(o, want, hidden)
		if ok && (!found || ports(n) > ports(best)) {
			best, found = n, true
		}
	}
	return best, found
}

func ports(s wire.Selector) int { return int(s.EndPort) - int(s.StartPort) }

func narrowOne(o wire.Selector, want netip.Addr, hidden bool) (wire.Selector, bool) {
	if o.Protocol != 0 && o.Protocol != protocolGRE || o.StartPort > o.EndPort {
		return o, false
	}
	n := greOf(want)
	n.StartPort, n.EndPort = o.StartPort, o.EndPort
	switch {
	case o.Start.Is4() == want.Is4() && o.Start.Compare(want) <= 0 && want.Compare(o.End) <= 0:
		return n, true
	case hidden && o.Start == o.End:
		n.Start, n.End = o.Start, o.End
		return n, true
	}
	return o, false
}

// covers reports whether an answer lets all GRE of a host pass, and nothing but what was asked. A NAT may hide under
// which address the host knows itself.
func covers(answer []wire.Selector, asked netip.Addr, hidden bool) bool {
	if len(answer) != 1 {
		return false
	}
	a := answer[0]
	return (a.Protocol == protocolGRE || a.Protocol == 0) && a.StartPort == 0 && a.EndPort == 0xffff &&
		a.Start == a.End && (a.Start == asked || hidden && a.Start.Is4() == asked.Is4())
}
