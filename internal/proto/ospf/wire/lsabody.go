package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// LSABody is what an LSA says: [*RouterLSA], [*NetworkLSA], [*Summary], [*SummaryRouter], [*External], [*LinkLSA],
// [*IntraAreaPrefix], [*Grace], or [*Opaque] for all others. Where OSPFv2 has the options in the header of an LSA, the
// body has them too.
type LSABody interface {
	appendLSA(b []byte, v Version) []byte
	options(v Version, k LSAKey) Options // of the header, v2
}

// Flags of a [RouterLSA].
const (
	RouterB  uint8 = 0x01 // an area border router
	RouterE  uint8 = 0x02 // an AS boundary router
	RouterV  uint8 = 0x04 // an endpoint of a virtual link
	RouterNt uint8 = 0x10 // a translator of NSSA LSAs without condition, RFC 3101 appendix B
)

// LinkKind is what a link of a router goes to, RFC 2328 A.4.2.
type LinkKind uint8

const (
	LinkPointToPoint LinkKind = 1
	LinkTransit      LinkKind = 2
	LinkStub         LinkKind = 3 // v2
	LinkVirtual      LinkKind = 4
)

// Link is a link of a [RouterLSA].
type Link struct {
	Kind   LinkKind
	Metric uint16

	ID   uint32 // v2: the neighbour's router ID, the address of the DR, or the network of a stub
	Data uint32 // v2: our address, the index of an unnumbered interface, or the mask of a stub

	Interface         uint32   // v3: ours
	NeighborInterface uint32   // v3: the neighbour's, or the DR's
	Neighbor          RouterID // v3: or the DR
}

// To is the router at the other end of a link. A transit link leads to a network, which it names by its DR: by the router ID in OSPFv3,
// by the address in OSPFv2.
func (l *Link) To(v Version) RouterID {
	if v == V2 {
		return RouterID(l.ID)
	}
	return l.Neighbor
}

// RouterLSA says which links a router has, RFC 2328 A.4.2 and RFC 5340 A.4.3.
type RouterLSA struct {
	Flags   uint8
	Options Options
	Links   []Link
}

// NetworkLSA says which routers a network joins, RFC 2328 A.4.3 and RFC 5340 A.4.4.
type NetworkLSA struct {
	Mask    uint32 // v2
	Options Options
	Routers []RouterID
}

// Summary is a prefix of another area, RFC 2328 A.4.4 and RFC 5340 A.4.5.
type Summary struct {
	Prefix        netip.Prefix
	PrefixOptions PrefixOptions // v3
	Metric        uint32        // 24 bits
	Options       Options       // v2
}

// SummaryRouter is an AS boundary router of another area, RFC 2328 A.4.4 and RFC 5340 A.4.6.
type SummaryRouter struct {
	Router  RouterID
	Metric  uint32 // 24 bits
	Options Options
}

// External is a prefix from outside, as an AS-external or as an NSSA LSA: RFC 2328 A.4.5, RFC 3101, RFC 5340 A.4.7.
type External struct {
	Prefix        netip.Prefix
	PrefixOptions PrefixOptions // v3
	Metric        uint32        // 24 bits
	Type2         bool          // the metric is larger than any inside
	Forward       netip.Addr    // where to send what is for the prefix; invalid for the originator
	Tag           uint32
	HasTag        bool    // v3; in OSPFv2 there always is one, and this says that it is not 0
	Propagate     bool    // the P bit of an NSSA LSA: to be translated at the border, RFC 3101 section 2.4
	Options       Options // v2

	RefType LSAType // v3: an LSA with more to it, which nobody has defined
	RefID   uint32  // v3
}

// LinkLSA tells the routers of a link of an address and prefixes, RFC 5340 A.4.9.
type LinkLSA struct {
	Priority uint8
	Options  Options
	Address  netip.Addr // link-local; with [V3IPv4] the IPv4 address of the interface, RFC 5838 section 2.5
	Prefixes []PrefixEntry
}

// IntraAreaPrefix says which prefixes belong to a router or a network, RFC 5340 A.4.10.
type IntraAreaPrefix struct {
	RefType   LSAType // of the router LSA or the network LSA
	RefID     uint32
	RefRouter RouterID
	Prefixes  []PrefixEntry
}

// Grace asks neighbours to stay adjacent over a restart, RFC 3623 appendix A and RFC 5187.
type Grace struct {
	Period  uint32 // seconds
	Reason  uint8
	Address netip.Addr // v2: of the interface, where the neighbours know us by it
	Options Options    // v2
}

// Reasons of a [Grace], RFC 3623 appendix A.
const (
	GraceUnknown uint8 = iota
	GraceRestart
	GraceReload
	GraceSwitch
)

// Opaque is what we carry and do not understand.
type Opaque struct {
	Options Options // v2
	Data    []byte
}

func (r *RouterLSA) options(Version, LSAKey) Options     { return r.Options }
func (n *NetworkLSA) options(Version, LSAKey) Options    { return n.Options }
func (s *Summary) options(Version, LSAKey) Options       { return s.Options }
func (s *SummaryRouter) options(Version, LSAKey) Options { return s.Options }
func (*LinkLSA) options(Version, LSAKey) Options         { return 0 }
func (*IntraAreaPrefix) options(Version, LSAKey) Options { return 0 }
func (g *Grace) options(Version, LSAKey) Options         { return g.Options }
func (o *Opaque) options(Version, LSAKey) Options        { return o.Options }

func (e *External) options(v Version, k LSAKey) Options {
	if k.Function(v) != FunctionNSSA {
		return e.Options
	}
	if e.Propagate {
		return e.Options | OptNP
	}
	return e.Options &^ OptNP
}

// Body reads what the LSA says. An error is an [*Error].
func (l LSA) Body(v Version) (LSABody, error) {
	if len(l.Raw) < LSAHeaderLen {
		return nil, bad(ReasonLSAContent, "no LSA header")
	}
	body, ok := l.parse(v, l.Raw[LSAHeaderLen:])
	if !ok {
		return nil, bad(ReasonLSAContent, l.LSAKey.String())
	}
	return body, nil
}

func (l LSA) parse(v Version, b []byte) (LSABody, bool) {
	switch l.Function(v) {
	case FunctionRouter:
		return l.parseRouter(v, b)
	case FunctionNetwork:
		return l.parseNetwork(v, b)
	case FunctionSummary:
		return l.parseSummary(v, b)
	case FunctionSummaryRouter:
		return l.parseSummaryRouter(v, b)
	case FunctionExternal, FunctionNSSA:
		return l.parseExternal(v, b)
	case FunctionLink:
		return parseLink(v, b)
	case FunctionIntraAreaPrefix:
		return parseIntraAreaPrefix(v, b)
	case FunctionGrace:
		return l.parseGrace(v, b)
	}
	return &Opaque{Options: l.Options, Data: b}, true
}

func (l LSA) parseRouter(v Version, b []byte) (LSABody, bool) {
	if len(b) < 4 || v == V2 && l.ID != uint32(l.Router) { // RFC 2328 12.4.1: a router has one, by its own ID
		return nil, false
	}
	if v == V2 {
		r := &RouterLSA{Flags: b[0], Options: l.Options}
		var ok bool
		r.Links, ok = parseLinksV2(b[4:], int(binary.BigEndian.Uint16(b[2:])))
		return r, ok
	}
	r := &RouterLSA{Flags: b[0], Options: options24(b)}
	if b = b[4:]; len(b)%16 != 0 {
		return nil, false
	}
	r.Links = make([]Link, 0, len(b)/16)
	for ; len(b) > 0; b = b[16:] {
		r.Links = append(r.Links, Link{Kind: LinkKind(b[0]), Metric: binary.BigEndian.Uint16(b[2:]), Interface: binary.BigEndian.Uint32(b[4:]),
			NeighborInterface: binary.BigEndian.Uint32(b[8:]), Neighbor: RouterID(binary.BigEndian.Uint32(b[12:]))})
	}
	return r, true
}

// parseLinksV2 reads the links of an OSPFv2 router. Metrics for types of service are skipped, as RFC 2328 does.
func parseLinksV2(b []byte, count int) ([]Link, bool) {
	if len(b) < 12*count {
		return nil, false
	}
	links := make([]Link, 0, count)
	for range count {
		if len(b) < 12 || len(b) < 12+4*int(b[9]) {
			return nil, false
		}
		links = append(links, Link{Kind: LinkKind(b[8]), Metric: binary.BigEndian.Uint16(b[10:]), ID: binary.BigEndian.Uint32(b),
			Data: binary.BigEndian.Uint32(b[4:])})
		b = b[12+4*int(b[9]):]
	}
	return links, len(b) == 0
}

func (r *RouterLSA) appendLSA(b []byte, v Version) []byte {
	if v == V2 {
		b = binary.BigEndian.AppendUint16(append(b, r.Flags, 0), uint16(len(r.Links)))
		for _, l := range r.Links {
			b = binary.BigEndian.AppendUint32(b, l.ID)
			b = binary.BigEndian.AppendUint32(b, l.Data)
			b = binary.BigEndian.AppendUint16(append(b, byte(l.Kind), 0), l.Metric)
		}
		return b
	}
	b = append24(b, r.Flags, uint32(r.Options))
	for _, l := range r.Links {
		b = binary.BigEndian.AppendUint16(append(b, byte(l.Kind), 0), l.Metric)
		b = binary.BigEndian.AppendUint32(b, l.Interface)
		b = binary.BigEndian.AppendUint32(b, l.NeighborInterface)
		b = binary.BigEndian.AppendUint32(b, uint32(l.Neighbor))
	}
	return b
}

func (l LSA) parseNetwork(v Version, b []byte) (LSABody, bool) {
	if len(b) < 4 || len(b)%4 != 0 {
		return nil, false
	}
	n := &NetworkLSA{Routers: parseRouters(b[4:])}
	if v != V2 {
		n.Options = options24(b)
		return n, true
	}
	n.Mask, n.Options = binary.BigEndian.Uint32(b), l.Options
	_, ok := MaskBits(n.Mask)
	return n, ok
}

func (n *NetworkLSA) appendLSA(b []byte, v Version) []byte {
	if v == V2 {
		b = binary.BigEndian.AppendUint32(b, n.Mask)
	} else {
		b = append24(b, 0, uint32(n.Options))
	}
	return appendRouters(b, n.Routers)
}

func (l LSA) parseSummary(v Version, b []byte) (LSABody, bool) {
	if v == V2 {
		if len(b) < 8 || len(b)%4 != 0 {
			return nil, false
		}
		p, ok := l.prefix(binary.BigEndian.Uint32(b))
		return &Summary{Prefix: p, Metric: uint24(b[4:]), Options: l.Options}, ok
	}
	if len(b) < 4 {
		return nil, false
	}
	e, rest, ok := parsePrefix(v, b[4:])
	return &Summary{Prefix: e.Prefix, PrefixOptions: e.Options, Metric: uint24(b)}, ok && len(rest) == 0
}

func (s *Summary) appendLSA(b []byte, v Version) []byte {
	if v == V2 {
		return append24(binary.BigEndian.AppendUint32(b, Mask(s.Prefix.Bits())), 0, s.Metric)
	}
	return PrefixEntry{Prefix: s.Prefix, Options: s.PrefixOptions}.append(append24(b, 0, s.Metric))
}

// prefix is what the LS ID and a mask make, RFC 2328 12.4.3. The ID may have bits set beyond the mask, appendix E.
func (l LSA) prefix(mask uint32) (netip.Prefix, bool) {
	bits, ok := MaskBits(mask)
	return netip.PrefixFrom(Addr4(l.ID&mask), bits), ok
}

func (l LSA) parseSummaryRouter(v Version, b []byte) (LSABody, bool) {
	if v == V2 {
		if len(b) < 8 || len(b)%4 != 0 {
			return nil, false
		}
		return &SummaryRouter{Router: RouterID(l.ID), Metric: uint24(b[4:]), Options: l.Options}, true
	}
	if len(b) != 12 {
		return nil, false
	}
	return &SummaryRouter{Router: RouterID(binary.BigEndian.Uint32(b[8:])), Metric: uint24(b[4:]), Options: options24(b)}, true
}

func (s *SummaryRouter) appendLSA(b []byte, v Version) []byte {
	if v == V2 {
		return append24(append(b, 0, 0, 0, 0), 0, s.Metric)
	}
	b = append24(append24(b, 0, uint32(s.Options)), 0, s.Metric)
	return binary.BigEndian.AppendUint32(b, uint32(s.Router))
}

// Bits of the first octet of an external LSA. F and T are of OSPFv3.
const (
	externalT   = 0x01
	externalF   = 0x02
	externalE   = 0x04
	externalEV2 = 0x80
)

func (l LSA) parseExternal(v Version, b []byte) (LSABody, bool) {
	if v != V2 {
		return parseExternalV3(v, b)
	}
	if len(b) < 16 || (len(b)-16)%12 != 0 {
		return nil, false
	}
	p, ok := l.prefix(binary.BigEndian.Uint32(b))
	e := &External{Prefix: p, Type2: b[4]&externalEV2 != 0, Metric: uint24(b[4:]), Tag: binary.BigEndian.Uint32(b[12:]), Options: l.Options}
	if forward := binary.BigEndian.Uint32(b[8:]); forward != 0 {
		e.Forward = Addr4(forward)
	}
	e.HasTag = e.Tag != 0
	e.Propagate = l.Function(v) == FunctionNSSA && l.Options&OptNP != 0
	return e, ok
}

func parseExternalV3(v Version, b []byte) (LSABody, bool) {
	if len(b) < 8 {
		return nil, false
	}
	flags := b[0]
	p, rest, ok := parsePrefix(v, b[4:])
	if !ok {
		return nil, false
	}
	e := &External{Prefix: p.Prefix, PrefixOptions: p.Options, Metric: uint24(b), Type2: flags&externalE != 0, HasTag: flags&externalT != 0,
		RefType: LSAType(p.Metric), Propagate: p.Options&PrefixP != 0}
	if flags&externalF != 0 {
		if e.Forward, rest, ok = cutAddress(v, rest); !ok {
			return nil, false
		}
	}
	if e.HasTag && ok {
		e.Tag, rest, ok = cut32(rest)
	}
	if e.RefType != 0 && ok {
		e.RefID, rest, ok = cut32(rest)
	}
	return e, ok && len(rest) == 0
}

func cut32(b []byte) (uint32, []byte, bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(b), b[4:], true
}

func (e *External) appendLSA(b []byte, v Version) []byte {
	if v != V2 {
		return e.appendV3(b, v)
	}
	var flags byte
	if e.Type2 {
		flags = externalEV2
	}
	b = append24(binary.BigEndian.AppendUint32(b, Mask(e.Prefix.Bits())), flags, e.Metric)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, Uint4(e.Forward)), e.Tag)
}

func (e *External) appendV3(b []byte, v Version) []byte {
	var flags byte
	for _, f := range [...]struct {
		set bool
		bit byte
	}{{e.Type2, externalE}, {e.Forward.IsValid(), externalF}, {e.HasTag, externalT}} {
		if f.set {
			flags |= f.bit
		}
	}
	p := PrefixEntry{Prefix: e.Prefix, Options: e.PrefixOptions &^ PrefixP, Metric: uint16(e.RefType)}
	if e.Propagate {
		p.Options |= PrefixP
	}
	b = p.append(append24(b, flags, e.Metric))
	if e.Forward.IsValid() {
		b = appendAddress(b, e.Forward)
	}
	if e.HasTag {
		b = binary.BigEndian.AppendUint32(b, e.Tag)
	}
	if e.RefType != 0 {
		b = binary.BigEndian.AppendUint32(b, e.RefID)
	}
	return b
}

func parseLink(v Version, b []byte) (LSABody, bool) {
	if len(b) < 24 {
		return nil, false
	}
	l := &LinkLSA{Priority: b[0], Options: options24(b)}
	var ok bool
	l.Address, b, _ = cutAddress(v, b[4:])
	l.Prefixes, ok = parsePrefixes(v, b[4:], binary.BigEndian.Uint32(b))
	return l, ok
}

func (l *LinkLSA) appendLSA(b []byte, v Version) []byte {
	b = appendAddress(append24(b, l.Priority, uint32(l.Options)), l.Address)
	return appendPrefixes(binary.BigEndian.AppendUint32(b, uint32(len(l.Prefixes))), l.Prefixes)
}

func parseIntraAreaPrefix(v Version, b []byte) (LSABody, bool) {
	if len(b) < 12 {
		return nil, false
	}
	p := &IntraAreaPrefix{RefType: LSAType(binary.BigEndian.Uint16(b[2:])), RefID: binary.BigEndian.Uint32(b[4:]),
		RefRouter: RouterID(binary.BigEndian.Uint32(b[8:]))}
	var ok bool
	p.Prefixes, ok = parsePrefixes(v, b[12:], uint32(binary.BigEndian.Uint16(b)))
	return p, ok
}

func (p *IntraAreaPrefix) appendLSA(b []byte, v Version) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Prefixes)))
	b = binary.BigEndian.AppendUint16(b, uint16(p.RefType))
	b = binary.BigEndian.AppendUint32(b, p.RefID)
	return appendPrefixes(binary.BigEndian.AppendUint32(b, uint32(p.RefRouter)), p.Prefixes)
}

// Types of the TLVs of a grace-LSA, RFC 3623 appendix A.
const (
	gracePeriod = iota + 1
	graceReason
	graceAddress
)

func (l LSA) parseGrace(v Version, b []byte) (LSABody, bool) {
	g := &Grace{Options: l.Options}
	period := false
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, false
		}
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		room := (n + 3) &^ 3
		if len(b) < 4+room {
			return nil, false
		}
		value := b[4 : 4+n]
		switch {
		case kind == gracePeriod && n == 4:
			g.Period, period = binary.BigEndian.Uint32(value), true
		case kind == graceReason && n == 1:
			g.Reason = value[0]
		case kind == graceAddress && n == 4 && v == V2:
			g.Address = Addr4(binary.BigEndian.Uint32(value))
		case kind >= gracePeriod && kind <= graceAddress:
			return nil, false
		}
		b = b[4+room:]
	}
	return g, period
}

func (g *Grace) appendLSA(b []byte, v Version) []byte {
	b = binary.BigEndian.AppendUint32(append(b, 0, gracePeriod, 0, 4), g.Period)
	b = append(b, 0, graceReason, 0, 1, g.Reason, 0, 0, 0)
	if v == V2 && g.Address.Is4() {
		b = binary.BigEndian.AppendUint32(append(b, 0, graceAddress, 0, 4), Uint4(g.Address))
	}
	return b
}

func (o *Opaque) appendLSA(b []byte, v Version) []byte { return append(b, o.Data...) }

// String is for traces.
func (k LinkKind) String() string {
	names := [...]string{LinkPointToPoint: "point-to-point", LinkTransit: "transit", LinkStub: "stub", LinkVirtual: "virtual"}
	if k >= LinkPointToPoint && k <= LinkVirtual {
		return names[k]
	}
	return "link type " + strconv.Itoa(int(k))
}
