package bfd

import (
	"encoding/binary"
	"time"
)

// Ports and TTL of RFC 5881 sections 4 and 5, and RFC 5883 section 5.
const (
	SinglePort = 3784
	MultiPort  = 4784
	TTL        = 255
	FirstPort  = 49152 // of the sources
	LastPort   = 65535
)

// PacketLen is the length of a packet without authentication, RFC 5880 section 4.1.
const PacketLen = 24

const version = 1

// Packet is a BFD control packet, RFC 5880 section 4.1. Intervals are whole microseconds on the wire.
type Packet struct {
	Diagnostic   Diagnostic
	State        State
	Poll, Final  bool
	Independent  bool // C: the sender's BFD survives its control plane
	Demand       bool
	Multiplier   uint8
	Mine, Yours  uint32        // discriminators
	DesiredTx    time.Duration // Desired Min TX Interval
	RequiredRx   time.Duration // Required Min RX Interval
	RequiredEcho time.Duration // Required Min Echo RX Interval
}

// Bits of the second octet.
const (
	bitPoll        = 0x20
	bitFinal       = 0x10
	bitIndependent = 0x08
	bitAuth        = 0x04
	bitDemand      = 0x02
	bitMultipoint  = 0x01
)

// Discard is why a received packet was dropped, RFC 5880 section 6.8.6 unless noted.
type Discard uint8

const (
	BadLength       Discard = iota + 1
	BadVersion              // not 1
	BadMultiplier           // Detect Mult is zero
	Multipoint              // the M bit is set
	NoDiscriminator         // My Discriminator is zero
	Authenticated           // carries authentication, which is not in use
	BadTTL                  // has crossed a router, RFC 5881 section 5, or too many, RFC 5883 section 5
	Stranger                // from somebody who is not watched
	UnknownSession          // Your Discriminator is none of ours
	NotDown                 // Your Discriminator is zero in a state where it must be known
	OtherSender             // Your Discriminator is of a session with somebody else
	discards                // how many there are, with 0
)

var discardWords = [discards]string{
	BadLength: "bad-length", BadVersion: "bad-version", BadMultiplier: "bad-multiplier", Multipoint: "multipoint",
	NoDiscriminator: "no-discriminator", Authenticated: "authentication", BadTTL: "ttl", Stranger: "stranger",
	UnknownSession: "unknown-session", NotDown: "not-down", OtherSender: "other-sender",
}

// Error is a stable word, for counters.
func (d Discard) Error() string {
	if d < discards {
		return discardWords[d]
	}
	return "unknown"
}

// Parse reads a packet and makes the checks of RFC 5880 section 6.8.6 that need no session. Its error is a [Discard].
func Parse(b []byte) (Packet, error) {
	if len(b) < PacketLen {
		return Packet{}, BadLength
	}
	flags := b[1]
	p := Packet{
		Diagnostic: Diagnostic(b[0] & 0x1f), State: State(flags >> 6),
		Poll: flags&bitPoll != 0, Final: flags&bitFinal != 0, Independent: flags&bitIndependent != 0, Demand: flags&bitDemand != 0,
		Multiplier: b[2],
		Mine:       binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		DesiredTx: interval(b[12:]), RequiredRx: interval(b[16:]), RequiredEcho: interval(b[20:]),
	}
	switch {
	case b[0]>>5 != version:
		return p, BadVersion
	case int(b[3]) < PacketLen || int(b[3]) > len(b):
		return p, BadLength
	case p.Multiplier == 0:
		return p, BadMultiplier
	case flags&bitMultipoint != 0:
		return p, Multipoint
	case p.Mine == 0:
		return p, NoDiscriminator
	case flags&bitAuth != 0:
		return p, Authenticated
	}
	return p, nil
}

func interval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Append writes the packet behind b.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State) << 6
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{{p.Poll, bitPoll}, {p.Final, bitFinal}, {p.Independent, bitIndependent}, {p.Demand, bitDemand}} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, version<<5|byte(p.Diagnostic)&0x1f, flags, p.Multiplier, PacketLen)
	b = binary.BigEndian.AppendUint32(b, p.Mine)
	b = binary.BigEndian.AppendUint32(b, p.Yours)
	for _, d := range [...]time.Duration{p.DesiredTx, p.RequiredRx, p.RequiredEcho} {
		b = binary.BigEndian.AppendUint32(b, uint32(min(d.Microseconds(), 1<<32-1)))
	}
	return b
}
