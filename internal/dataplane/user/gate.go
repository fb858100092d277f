package user

import "github.com/spokeway/spokeway/internal/dataplane"

// mayLeave is the one gate of what a tunnel sends. What a protected tunnel sends leaves by a wire of ESP, sealed by what
// the gate gives: a handle that is none, is stale or has no keys yet gives nothing. What another sends never leaves
// by such a wire. Tunnel and wire are asked of each other, as they change one after the other.
func (p *Plane) mayLeave(t *dataplane.Tunnel, w *wire, sa dataplane.SA) (out *dataplane.Outbound, why dataplane.Reason, ok bool) {
	switch esp := w != nil && w.at.encapsulation == dataplane.ESP; {
	case t.Protected && sa == 0:
		return nil, dataplane.DropUnprotected, false
	case w == nil:
		return nil, dataplane.DropNoUnderlay, false
	case t.Protected != esp:
		return nil, dataplane.DropUnprotected, false
	case !t.Protected:
		return nil, 0, true
	}
	out = p.tables.Outbound(sa)
	return out, dataplane.DropNoSA, out != nil
}

// mayEnter is the one gate of what a tunnel accepts: a protected one what came out of an SA, another what did not.
func mayEnter(t *dataplane.Tunnel, sa dataplane.SA) bool { return t.Protected == (sa != 0) }
