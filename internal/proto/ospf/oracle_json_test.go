package ospf

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// The recordings write packets as JSON. This file turns them into ours.

type hObject = map[string]json.RawMessage

// hPacket is {"Hello": {...}}, {"DbDesc": {...}} and so on: one type for all, as their keys do not clash.
type hPacket struct {
	Hdr struct {
		RouterID   string `json:"router_id"`
		AreaID     string `json:"area_id"`
		InstanceID uint8  `json:"instance_id"`
	} `json:"hdr"`
	Mask      string   `json:"network_mask"`
	Interface uint32   `json:"iface_id"`
	Interval  uint16   `json:"hello_interval"`
	Dead      uint32   `json:"dead_interval"`
	Options   string   `json:"options"`
	Priority  uint8    `json:"priority"`
	DR        string   `json:"dr"`
	BDR       string   `json:"bdr"`
	Neighbors []string `json:"neighbors"`

	MTU      uint16       `json:"mtu"`
	Flags    string       `json:"dd_flags"`
	Sequence uint32       `json:"dd_seq_no"`
	Headers  []hLSAHeader `json:"lsa_hdrs"`
	Entries  []hLSAHeader `json:"entries"`
	LSAs     []hLSA       `json:"lsas"`
}

type hLSAHeader struct {
	Age      uint16 `json:"age"`
	Options  string `json:"options"`
	Type     uint16 `json:"lsa_type"`
	ID       string `json:"lsa_id"`
	Router   string `json:"adv_rtr"`
	Sequence uint32 `json:"seq_no"`
	Checksum uint16 `json:"cksum"`
	Length   uint16 `json:"length"`
}

type hLSA struct {
	Raw  []uint16   `json:"raw"`
	Hdr  hLSAHeader `json:"hdr"`
	Body hObject    `json:"body"`
}

func hDotted(s string) uint32 {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return 0
	}
	return wire.Uint4(a)
}

func hRouter(s string) wire.RouterID { return wire.RouterID(hDotted(s)) }

var hOptions = map[string]wire.Options{"V6": wire.OptV6, "E": wire.OptE, "MC": wire.OptMC, "NP": wire.OptNP, "N": wire.OptNP, "R": wire.OptR,
	"DC": wire.OptDC, "O": wire.OptO, "DN": wire.OptDN, "AF": wire.OptAF, "L": wire.OptL, "AT": wire.OptAT}

func hOptionBits(s string) (o wire.Options) {
	for _, w := range hWords(s) {
		o |= hOptions[w]
	}
	return o
}

func hWords(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '|' || r == ' ' })
}

func hBits(s string, names map[string]uint8) (b uint8) {
	for _, w := range hWords(s) {
		b |= names[w]
	}
	return b
}

var (
	hDDBits     = map[string]uint8{"MS": wire.DDMaster, "M": wire.DDMore, "I": wire.DDInit}
	hRouterBits = map[string]uint8{"B": wire.RouterB, "E": wire.RouterE, "V": wire.RouterV, "NT": wire.RouterNt, "Nt": wire.RouterNt}
	hPrefixBits = map[string]uint8{"NU": uint8(wire.PrefixNU), "LA": uint8(wire.PrefixLA), "P": uint8(wire.PrefixP), "DN": uint8(wire.PrefixDN)}
	hLinkKinds  = map[string]wire.LinkKind{"PointToPoint": wire.LinkPointToPoint, "TransitNetwork": wire.LinkTransit, "StubNetwork": wire.LinkStub, "VirtualLink": wire.LinkVirtual}
)

func (h hLSAHeader) key() wire.LSAKey {
	return wire.LSAKey{Type: wire.LSAType(h.Type), ID: hDotted(h.ID), Router: hRouter(h.Router)}
}

func (h hLSAHeader) wire() wire.LSAHeader {
	return wire.LSAHeader{Age: h.Age, Options: hOptionBits(h.Options), LSAKey: h.key(), Sequence: int32(h.Sequence), Checksum: h.Checksum, Length: h.Length}
}

// hPacketOf reads {"Kind": {...}}.
func hPacketOf(v wire.Version, raw json.RawMessage) (*wire.Packet, error) {
	var kinds map[string]hPacket
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return nil, err
	}
	for kind, h := range kinds {
		p := &wire.Packet{Version: v, Router: hRouter(h.Hdr.RouterID), Area: wire.AreaID(hDotted(h.Hdr.AreaID)), Instance: h.Hdr.InstanceID}
		var err error
		p.Body, err = h.body(v, kind)
		return p, err
	}
	return nil, fmt.Errorf("no packet")
}

func (h *hPacket) body(v wire.Version, kind string) (wire.Body, error) {
	switch kind {
	case "Hello":
		b := &wire.Hello{Mask: hDotted(h.Mask), InterfaceID: h.Interface, Interval: h.Interval, Options: hOptionBits(h.Options), Priority: h.Priority,
			Dead: h.Dead, DR: hDotted(h.DR), BDR: hDotted(h.BDR)}
		for _, n := range h.Neighbors {
			b.Neighbors = append(b.Neighbors, hRouter(n))
		}
		return b, nil
	case "DbDesc":
		return &wire.DatabaseDescription{MTU: h.MTU, Options: hOptionBits(h.Options), Flags: hBits(h.Flags, hDDBits), Sequence: h.Sequence, Headers: hHeaders(h.Headers)}, nil
	case "LsRequest":
		b := &wire.Request{}
		for _, e := range h.Entries {
			b.Keys = append(b.Keys, e.key())
		}
		return b, nil
	case "LsAck":
		return &wire.Ack{Headers: hHeaders(h.Headers)}, nil
	case "LsUpdate":
		b := &wire.Update{}
		for _, l := range h.LSAs {
			x, err := l.wire(v)
			if err != nil {
				return nil, err
			}
			b.LSAs = append(b.LSAs, x)
		}
		return b, nil
	}
	return nil, fmt.Errorf("packet kind %q", kind)
}

func hHeaders(list []hLSAHeader) (out []wire.LSAHeader) {
	for _, h := range list {
		out = append(out, h.wire())
	}
	return out
}

// wire is the LSA as it was on the wire, or made from what is said of it.
func (l hLSA) wire(v wire.Version) (wire.LSA, error) {
	if len(l.Raw) > 0 {
		b := make([]byte, len(l.Raw))
		for i, x := range l.Raw {
			b[i] = byte(x)
		}
		x, _, err := wire.ParseLSA(v, b)
		return x, err
	}
	body, err := l.body(v)
	if err != nil {
		return wire.LSA{}, err
	}
	sequence := int32(l.Hdr.Sequence)
	if sequence == 0 {
		sequence = wire.InitialSequence
	}
	return wire.Build(v, l.Hdr.key(), l.Hdr.Age, sequence, body)
}

// hBody has the keys of all bodies.
type hBody struct {
	Flags   string `json:"flags"`
	Options string `json:"options"`
	Links   []struct {
		Type      string `json:"link_type"`
		ID        string `json:"link_id"`
		Data      string `json:"link_data"`
		Metric    uint16 `json:"metric"`
		Interface uint32 `json:"iface_id"`
		Other     uint32 `json:"nbr_iface_id"`
		Router    string `json:"nbr_router_id"`
	} `json:"links"`
	Mask          string   `json:"mask"`
	Routers       []string `json:"attached_rtrs"`
	Metric        uint32   `json:"metric"`
	Prefix        string   `json:"prefix"`
	PrefixOptions string   `json:"prefix_options"`
	Router        string   `json:"router_id"`
	Forward       string   `json:"fwd_addr"`
	Tag           uint32   `json:"tag"`
	Priority      uint8    `json:"priority"`
	Address       string   `json:"linklocal"`
	Prefixes      json.RawMessage
	RefType       uint16 `json:"ref_lsa_type"`
	RefID         string `json:"ref_lsa_id"`
	RefRouter     string `json:"ref_adv_rtr"`
	Grace         *struct {
		Period  uint32 `json:"grace_period"`
		Reason  uint8  `json:"gr_reason"`
		Address string `json:"addr"`
	} `json:"Grace"`
}

func (l hLSA) body(v wire.Version) (wire.LSABody, error) {
	for kind, raw := range l.Body {
		var b hBody
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		return b.wire(v, l.Hdr, kind, raw)
	}
	return nil, fmt.Errorf("LSA without a body")
}

func (b *hBody) wire(v wire.Version, h hLSAHeader, kind string, raw json.RawMessage) (wire.LSABody, error) {
	o := hOptionBits(h.Options)
	if v != wire.V2 {
		o = hOptionBits(b.Options)
	}
	prefix := b.prefix(v, h)
	switch kind {
	case "Router":
		return b.router(o), nil
	case "Network":
		n := &wire.NetworkLSA{Mask: hDotted(b.Mask), Options: o}
		for _, r := range b.Routers {
			n.Routers = append(n.Routers, hRouter(r))
		}
		return n, nil
	case "SummaryNetwork", "InterAreaPrefix":
		return &wire.Summary{Prefix: prefix, Metric: b.Metric, Options: o, PrefixOptions: wire.PrefixOptions(hBits(b.PrefixOptions, hPrefixBits))}, nil
	case "SummaryRouter":
		return &wire.SummaryRouter{Router: hRouter(h.ID), Metric: b.Metric, Options: o}, nil
	case "InterAreaRouter":
		return &wire.SummaryRouter{Router: hRouter(b.Router), Metric: b.Metric, Options: o}, nil
	case "AsExternal", "NssaExternal", "Nssa", "AsExternalNssa":
		x := &wire.External{Prefix: prefix, Metric: b.Metric, Type2: strings.Contains(b.Flags, "E"), Tag: b.Tag, HasTag: b.Tag != 0, Options: o,
			PrefixOptions: wire.PrefixOptions(hBits(b.PrefixOptions, hPrefixBits)), Propagate: o&wire.OptNP != 0}
		if a, err := netip.ParseAddr(b.Forward); err == nil && !a.IsUnspecified() {
			x.Forward = a
		}
		return x, nil
	case "Link":
		a, _ := netip.ParseAddr(b.Address)
		return &wire.LinkLSA{Priority: b.Priority, Options: o, Address: a, Prefixes: hEntries(b.Prefixes)}, nil
	case "IntraAreaPrefix":
		return &wire.IntraAreaPrefix{RefType: wire.LSAType(b.RefType), RefID: hDotted(b.RefID), RefRouter: hRouter(b.RefRouter), Prefixes: hEntries(b.Prefixes)}, nil
	case "Grace", "OpaqueLink":
		if b.Grace != nil {
			g := &wire.Grace{Period: b.Grace.Period, Reason: b.Grace.Reason, Options: o}
			g.Address, _ = netip.ParseAddr(b.Grace.Address)
			return g, nil
		}
	}
	// What we do not understand is carried by its length; the recordings do not have its octets here.
	return &wire.Opaque{Options: o, Data: make([]byte, max(4, int(h.Length)-wire.LSAHeaderLen))}, nil
}

func (b *hBody) prefix(v wire.Version, h hLSAHeader) netip.Prefix {
	if v != wire.V2 {
		p, _ := netip.ParsePrefix(b.Prefix)
		return p
	}
	n, _ := wire.MaskBits(hDotted(b.Mask))
	return netip.PrefixFrom(wire.Addr4(hDotted(h.ID)), n).Masked()
}

func (b *hBody) router(o wire.Options) *wire.RouterLSA {
	r := &wire.RouterLSA{Flags: hBits(b.Flags, hRouterBits), Options: o}
	for _, l := range b.Links {
		r.Links = append(r.Links, wire.Link{Kind: hLinkKinds[l.Type], Metric: l.Metric, ID: hDotted(l.ID), Data: hDotted(l.Data),
			Interface: l.Interface, NeighborInterface: l.Other, Neighbor: hRouter(l.Router)})
	}
	return r
}

func hEntries(raw json.RawMessage) (list []wire.PrefixEntry) {
	var entries []struct {
		Options, Value string
		Metric         uint16
	}
	json.Unmarshal(raw, &entries)
	for _, e := range entries {
		p, _ := netip.ParsePrefix(e.Value)
		list = append(list, wire.PrefixEntry{Prefix: p, Options: wire.PrefixOptions(hBits(e.Options, hPrefixBits)), Metric: e.Metric})
	}
	return list
}

// yang is a document of configuration or state, as maps and lists.
type yang = map[string]any

// yAt walks down by keys; a list of one protocol is its first entry.
func yAt(d any, path ...string) any {
	for _, p := range path {
		if l, ok := d.([]any); ok && len(l) > 0 {
			d = l[0]
		}
		m, ok := d.(yang)
		if !ok {
			return nil
		}
		d = m[p]
	}
	return d
}

// yOSPF is the OSPF part of a document.
func yOSPF(d any) yang {
	y, _ := yAt(d, "ietf-routing:routing", "control-plane-protocols", "control-plane-protocol", "ietf-ospf:ospf").(yang)
	return y
}

func yList(d any, path ...string) (out []yang) {
	l, _ := yAt(d, path...).([]any)
	for _, x := range l {
		if m, ok := x.(yang); ok {
			out = append(out, m)
		}
	}
	return out
}

func yText(d any, path ...string) string {
	if s := yAt(d, path...); s != nil {
		return fmt.Sprint(s)
	}
	return ""
}

func yNum(d any, path ...string) int {
	f, _ := yAt(d, path...).(float64)
	return int(f)
}
