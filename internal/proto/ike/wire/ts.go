package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Traffic selector types, RFC 7296 section 3.13.1.
const (
	selectorIPv4 = 7
	selectorIPv6 = 8

	selectorFixed    = 8 // octets before the addresses
	selectorHead     = 4 // octets up to the length
	smallestSelector = selectorFixed + 2*4
)

// TS is TSi or TSr, RFC 7296 section 3.13. It may be left without selectors when all were of unknown types.
type TS struct {
	Initiator bool // TSi, else TSr
	Selectors []Selector
}

// Selector is a traffic selector, RFC 7296 section 3.13.1: a range of addresses of one family, a protocol or 0 for any,
// and a range of ports, which is 0 to 65535 for any and 65535 to 0 for OPAQUE.
type Selector struct {
	Protocol           uint8
	StartPort, EndPort uint16
	Start, End         netip.Addr
}

// MaxSelectors is what the number of selectors can say.
const MaxSelectors = 255

// Type is TypeTSi or TypeTSr.
func (p *TS) Type() PayloadType {
	if p.Initiator {
		return TypeTSi
	}
	return TypeTSr
}

func parseTS(b []byte, initiator bool) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	p, count := &TS{Initiator: initiator}, int(b[0])
	if count == 0 {
		return nil, bad("no selector")
	}
	b = b[4:]
	p.Selectors = make([]Selector, 0, min(count, len(b)/smallestSelector))
	for range count {
		if len(b) < selectorHead {
			return nil, bad("fewer selectors than it says")
		}
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < selectorHead || size > len(b) {
			return nil, bad("the length of a selector does not fit")
		}
		s, known, err := parseSelector(b[:size])
		if err != nil {
			return nil, err
		}
		if known {
			p.Selectors = append(p.Selectors, s)
		}
		b = b[size:]
	}
	if len(b) > 0 {
		return nil, bad("octets after the last selector")
	}
	return p, nil
}

// parseSelector reads a selector that fills b; one of an unknown type is not known.
func parseSelector(b []byte) (s Selector, known bool, err error) {
	size := 0
	switch b[0] {
	case selectorIPv4:
		size = 4
	case selectorIPv6:
		size = 16
	default:
		return s, false, nil
	}
	if len(b) != selectorFixed+2*size {
		return s, false, bad("a selector whose length is not that of its type")
	}
	s = Selector{Protocol: b[1], StartPort: binary.BigEndian.Uint16(b[4:]), EndPort: binary.BigEndian.Uint16(b[6:])}
	s.Start, _ = netip.AddrFromSlice(b[selectorFixed : selectorFixed+size])
	s.End, _ = netip.AddrFromSlice(b[selectorFixed+size:])
	if s.End.Less(s.Start) {
		return s, false, bad("a selector whose addresses end before they start")
	}
	if s.EndPort < s.StartPort && !s.Opaque() {
		return s, false, bad("a selector whose ports end before they start")
	}
	return s, true, nil
}

// Opaque reports whether the ports are OPAQUE: only packets whose ports cannot be seen.
func (s Selector) Opaque() bool { return s.StartPort == 0xffff && s.EndPort == 0 }

func (p *TS) appendBody(b []byte) []byte {
	if len(p.Selectors) > MaxSelectors {
		panic(fmt.Sprintf("wire: %d selectors", len(p.Selectors)))
	}
	b = append(b, byte(len(p.Selectors)), 0, 0, 0)
	for _, s := range p.Selectors {
		b = s.append(b)
	}
	return b
}

func (s Selector) append(b []byte) []byte {
	kind, start, end := byte(selectorIPv6), s.Start.AsSlice(), s.End.AsSlice()
	if s.Start.Is4() {
		kind = selectorIPv4
	}
	if len(start) == 0 || len(start) != len(end) {
		panic("wire: a selector from " + s.Start.String() + " to " + s.End.String())
	}
	b = append(b, kind, s.Protocol, 0, byte(selectorFixed+2*len(start)))
	b = binary.BigEndian.AppendUint16(b, s.StartPort)
	b = binary.BigEndian.AppendUint16(b, s.EndPort)
	return append(append(b, start...), end...)
}

func (p *TS) String() string {
	words := make([]string, len(p.Selectors))
	for i, s := range p.Selectors {
		words[i] = s.String()
	}
	return p.Type().String() + "(" + strings.Join(words, ", ") + ")"
}

// String is the selector in the way of "10.0.0.1 protocol 47" and "10.0.0.0-10.0.0.255 protocol 17 ports 53-53".
func (s Selector) String() string {
	text := s.Start.String()
	if s.Start != s.End {
		text += "-" + s.End.String()
	}
	if s.Protocol != 0 {
		text += fmt.Sprintf(" protocol %d", s.Protocol)
	}
	switch {
	case s.Opaque():
		text += " ports opaque"
	case s.StartPort != 0 || s.EndPort != 0xffff:
		text += fmt.Sprintf(" ports %d-%d", s.StartPort, s.EndPort)
	}
	return text
}
