package dataplane

import "sync/atomic"

// Traffic counts packets and octets of the overlay, without the outer headers.
type Traffic struct {
	packetsIn, packetsOut, bytesIn, bytesOut atomic.Uint64 // since ever: what is cleared was still used

	cleared atomic.Pointer[Counters] // what they were then; nil: never
}

// CountIn counts what came out of the tunnel.
func (t *Traffic) CountIn(packets, bytes int) {
	t.packetsIn.Add(uint64(packets))
	t.bytesIn.Add(uint64(bytes))
}

// CountOut counts what went into the tunnel.
func (t *Traffic) CountOut(packets, bytes int) {
	t.packetsOut.Add(uint64(packets))
	t.bytesOut.Add(uint64(bytes))
}

// Counters is what was counted since the counters were cleared.
func (t *Traffic) Counters() Counters {
	before := t.cleared.Load() // first: the counters only grow
	c := t.ever()
	if before != nil {
		c.PacketsIn -= before.PacketsIn
		c.PacketsOut -= before.PacketsOut
		c.BytesIn -= before.BytesIn
		c.BytesOut -= before.BytesOut
	}
	return c
}

func (t *Traffic) ever() Counters {
	return Counters{
		PacketsIn: t.packetsIn.Load(), PacketsOut: t.packetsOut.Load(),
		BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load(),
	}
}

func (t *Traffic) reset() {
	c := t.ever()
	t.cleared.Store(&c)
}

// Reason is why a packet was dropped.
type Reason uint8

// The reasons, in the words that `show counters` and the metrics use.
const (
	DropNoRoute          Reason = iota // no route by this tunnel and no fallback
	DropNoAdjacency                    // the next hop is unknown and there is no fallback
	DropNoReplica                      // multicast that nobody is to get
	DropNoUnderlay                     // the tunnel has no socket: its local address is gone, say
	DropUnprotected                    // clear, on a tunnel that protects
	DropTooBig                         // does not fit on the way and may not be fragmented
	DropTimeExceeded                   // TTL or hop limit ran out
	DropMalformed                      // not an IP packet of the length it claims
	DropBadGRE                         // GRE of another version, with routing, a wrong checksum, or cut short
	DropUnknownKey                     // GRE with a key of no tunnel on this address; counted on the first of them
	DropUnknownProtocol                // GRE with something that is neither IP nor NHRP
	DropECNIllegal                     // congestion experienced outside a packet that cannot say so, RFC 6040
	DropICMPRedirect                   // the kernel's ICMP redirect, which NHRP's replaces
	DropControlQueueFull               // the control plane is busy, or one peer sends it too much
	DropSendFailed                     // the underlay refused
	DropDeviceFailed                   // the TUN device refused
	DropUnnumbered                     // an ICMP error is due, but the tunnel has no address to send it from
	DropNoSA                           // the peer's SA has no keys: it is gone, or not yet there
	DropWornOut                        // the keys have protected all that they may
	DropReplayed                       // ESP with a sequence number that was used, or is too old
	DropBadICV                         // ESP that is not authentic
	DropUnknownSPI                     // ESP of no SA that we know
	DropBadESP                         // ESP cut short, with wrong padding, or of another mode than agreed
	DropWrongPeer                      // out of an SA, but from a peer, an address or a router that it is not for
	DropNotGRE                         // out of an SA, but not GRE
	reasons
)

var reasonNames = [reasons]string{
	"no-route", "no-adjacency", "no-replica", "no-underlay", "unprotected", "too-big", "time-exceeded", "malformed",
	"bad-gre", "unknown-key", "unknown-protocol", "ecn-illegal", "icmp-redirect", "control-queue-full",
	"send-failed", "device-failed", "unnumbered",
	"no-sa", "worn-out", "replayed", "bad-icv", "unknown-spi", "esp-malformed", "wrong-peer", "not-gre",
}

func (r Reason) String() string { return reasonNames[r] }

// Drops counts dropped packets by reason.
type Drops struct{ counts [reasons]atomic.Uint64 }

// Drop counts one packet.
func (d *Drops) Drop(r Reason) { d.counts[r].Add(1) }

// ByReason is what was counted, without the zeroes.
func (d *Drops) ByReason() map[string]uint64 {
	m := map[string]uint64{}
	for r := range d.counts {
		if n := d.counts[r].Load(); n > 0 {
			m[Reason(r).String()] = n
		}
	}
	return m
}

func (d *Drops) reset() {
	for r := range d.counts {
		d.counts[r].Store(0)
	}
}

// Stats is what the tunnel counted.
func (i *Interface) Stats() TunnelStats {
	return TunnelStats{Tunnel: i.Name, Counters: i.Counters(), Drops: i.ByReason()}
}

// Peers is what the tunnel's adjacencies counted, by next hop.
func (i *Interface) Peers() []PeerStats {
	var list []PeerStats
	for _, a := range i.Adjacencies() {
		list = append(list, PeerStats{
			Tunnel: i.Name, NextHop: a.NextHop, Endpoint: a.Endpoint, SA: a.SA, Counters: a.Counters(), LastIn: a.LastIn(),
		})
	}
	return list
}
