package user

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// Direction is that of a packet which a [Tap] gets.
type Direction uint8

const (
	In  Direction = iota // from the underlay
	Out                  // to the underlay
)

// Tap gets every packet that the plane handles. It is called by many goroutines at once and must not block; packets
// are borrowed until it returns.
type Tap interface {
	// Inner gets a packet of the overlay, and the peer that it is from or goes to.
	Inner(dir Direction, tunnel string, peer dataplane.Origin, p []byte)
	// Outer gets what is behind the outer IP header, and UDP's where the endpoints have ports: ESP, GRE or IKE.
	Outer(dir Direction, local, remote netip.AddrPort, p []byte)
}

// SetTap lets t have the packets from now on; nil ends it.
func (p *Plane) SetTap(t Tap) {
	if t == nil {
		p.tap.Store(nil)
		return
	}
	p.tap.Store(&t)
}

// endpoint is ours of a packet from or to a remote one: raw sockets have no port.
func (w *wire) endpoint(remote netip.AddrPort) netip.AddrPort {
	if remote.Port() == 0 {
		return netip.AddrPortFrom(w.at.local, 0)
	}
	return netip.AddrPortFrom(w.at.local, uint16(kindOf[w.main()].port))
}
