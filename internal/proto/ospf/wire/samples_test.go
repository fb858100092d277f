package wire_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

var versions = []wire.Version{wire.V2, wire.V3, wire.V3IPv4}

// ends are the addresses that packets of the tests go between.
func ends(v wire.Version) (src, dst netip.Addr) {
	if v == wire.V2 {
		return netip.MustParseAddr("10.0.0.1"), v.AllRouters()
	}
	return netip.MustParseAddr("fe80::1"), v.AllRouters()
}

// network is a prefix of the version's family.
func network(v wire.Version) netip.Prefix {
	if v.IPv4() {
		return netip.MustParsePrefix("192.0.2.64/26")
	}
	return netip.MustParsePrefix("2001:db8:7::/49")
}

// hop is an address of the version's family.
func hop(v wire.Version) netip.Addr {
	if v.IPv4() {
		return netip.MustParseAddr("192.0.2.1")
	}
	return netip.MustParseAddr("2001:db8::1")
}

// body is an LSA body and what it is kept under.
type body struct {
	key  wire.LSAKey
	body wire.LSABody
}

// bodies is one LSA of each kind, and the odd forms of some.
func bodies(v wire.Version) (all []body) {
	add := func(f wire.Function, id uint32, b wire.LSABody) {
		all = append(all, body{wire.LSAKey{Type: f.Type(v), ID: id, Router: 0x0a0b0c0d}, b})
	}
	p := network(v)
	id := uint32(7)
	if v == wire.V2 {
		id = wire.Uint4(p.Addr())
		add(wire.FunctionRouter, 0x0a0b0c0d, &wire.RouterLSA{Flags: wire.RouterB | wire.RouterE, Options: wire.OptE | wire.OptDC, Links: []wire.Link{
			{Kind: wire.LinkPointToPoint, Metric: 10, ID: 0x01010101, Data: 0x0a000001}, {Kind: wire.LinkTransit, Metric: 1, ID: 0x0a010001, Data: 0x0a010002},
			{Kind: wire.LinkStub, Metric: wire.MaxLinkMetric, ID: 0x0a020000, Data: wire.Mask(24)}}})
		add(wire.FunctionNetwork, 0x0a000001, &wire.NetworkLSA{Mask: wire.Mask(24), Options: wire.OptE, Routers: []wire.RouterID{1, 2, 0xffffffff}})
		add(wire.FunctionSummary, id|1, &wire.Summary{Prefix: p, Metric: wire.LSInfinity, Options: wire.OptE})
		add(wire.FunctionSummary, 0, &wire.Summary{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Metric: 1})
		add(wire.FunctionSummaryRouter, 0x01020304, &wire.SummaryRouter{Router: 0x01020304, Metric: 20, Options: wire.OptE})
		all = append(all, body{wire.GraceKey(v, 9, 4), &wire.Grace{Period: 120, Reason: wire.GraceRestart, Address: hop(v), Options: wire.OptE}},
			body{wire.LSAKey{Type: 10, ID: 4 << 24, Router: 1}, &wire.Opaque{Options: wire.OptE | wire.OptO, Data: []byte{0, 1, 0, 4, 0x60, 0, 0, 0}}},
			body{wire.LSAKey{Type: 11, ID: 1, Router: 1}, &wire.Opaque{Data: []byte{}}})
	} else {
		add(wire.FunctionRouter, 0, &wire.RouterLSA{Flags: wire.RouterNt, Options: wire.OptV6 | wire.OptE | wire.OptR | wire.OptAF, Links: []wire.Link{
			{Kind: wire.LinkPointToPoint, Metric: 10, Interface: 3, NeighborInterface: 9, Neighbor: 0x01010101}, {Kind: wire.LinkTransit, Metric: 65535, Interface: 4, NeighborInterface: 5, Neighbor: 6}}})
		add(wire.FunctionNetwork, 5, &wire.NetworkLSA{Options: wire.OptV6 | wire.OptR, Routers: []wire.RouterID{1, 2}})
		add(wire.FunctionSummary, id, &wire.Summary{Prefix: p, Metric: 4711})
		add(wire.FunctionSummaryRouter, 8, &wire.SummaryRouter{Router: 0x01020304, Metric: 20, Options: wire.OptV6})
		entries := []wire.PrefixEntry{{Prefix: p}, {Prefix: netip.PrefixFrom(hop(v), hop(v).BitLen()), Options: wire.PrefixLA}, {Prefix: netip.PrefixFrom(hop(v), 0).Masked()}}
		add(wire.FunctionLink, 3, &wire.LinkLSA{Priority: 1, Options: wire.OptV6, Address: hop(v), Prefixes: entries})
		for i := range entries {
			entries[i].Metric = uint16(i)
		}
		add(wire.FunctionIntraAreaPrefix, 0, &wire.IntraAreaPrefix{RefType: wire.FunctionRouter.Type(v), RefRouter: 1, Prefixes: entries})
		all = append(all, body{wire.GraceKey(v, 9, 4), &wire.Grace{Period: 120, Reason: wire.GraceSwitch}},
			body{wire.LSAKey{Type: 0xa021, ID: 1, Router: 1}, &wire.Opaque{Data: []byte{1, 2, 3, 4}}})
	}
	for _, f := range []wire.Function{wire.FunctionExternal, wire.FunctionNSSA} {
		add(f, id, &wire.External{Prefix: p, Metric: 1, Type2: true, Tag: 0xdeadbeef, HasTag: true, Forward: hop(v)})
		add(f, id, &wire.External{Prefix: p, Metric: wire.LSInfinity, Propagate: f == wire.FunctionNSSA})
	}
	if v == wire.V2 { // the P bit is an option there
		all[len(all)-1].body.(*wire.External).Options = wire.OptNP
	} else {
		x := all[len(all)-1].body.(*wire.External)
		x.PrefixOptions = wire.PrefixP
		x.RefType, x.RefID = 0x2001, 77
	}
	return all
}

func build(t testing.TB, v wire.Version, b body) wire.LSA {
	t.Helper()
	l, err := wire.Build(v, b.key, 17, wire.InitialSequence+3, b.body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// packets is one packet of each kind, and the odd forms of some.
func packets(t testing.TB, v wire.Version) (all []*wire.Packet) {
	t.Helper()
	update, headers, request := &wire.Update{}, []wire.LSAHeader{}, &wire.Request{Keys: []wire.LSAKey{}}
	for _, b := range bodies(v) {
		l := build(t, v, b)
		update.LSAs, headers, request.Keys = append(update.LSAs, l), append(headers, l.LSAHeader), append(request.Keys, l.LSAKey)
	}
	hello := &wire.Hello{Interval: 10, Dead: 40, Options: wire.OptE, Priority: 1, DR: 0x0a000001, BDR: 0x0a000002, Neighbors: []wire.RouterID{5, 6}}
	lonely := &wire.Hello{Interval: 1, Dead: 4, Options: wire.OptNP | wire.OptDC, Neighbors: []wire.RouterID{}}
	dd := &wire.DatabaseDescription{MTU: 1400, Options: wire.OptE, Flags: wire.DDInit | wire.DDMore | wire.DDMaster, Sequence: 0xfffffffe, Headers: []wire.LSAHeader{}}
	if v == wire.V2 {
		hello.Mask, dd.Options = wire.Mask(24), wire.OptE|wire.OptO
	} else {
		hello.InterfaceID, hello.Options, dd.Options = 9, wire.OptE|wire.OptV6|wire.OptR, wire.OptAF|wire.OptV6
	}
	for _, b := range []wire.Body{hello, lonely, dd, &wire.DatabaseDescription{Sequence: 3, Headers: headers}, request, update,
		&wire.Update{LSAs: []wire.LSA{}}, &wire.Ack{Headers: headers}, &wire.Ack{Headers: headers[:0]}} {
		p := &wire.Packet{Version: v, Router: 0xc0000201, Area: 3, Body: b}
		if v != wire.V2 {
			p.Instance = 64
		}
		all = append(all, p)
	}
	return all
}

// keys is no key, and one of each kind that the version has.
func keys(v wire.Version) (all []wire.Key) {
	for a := wire.None; a <= wire.SHA512; a++ {
		if a.Allowed(v) {
			all = append(all, wire.Key{ID: 200, Algorithm: a, Secret: []byte("a secret")})
		}
		if a >= wire.HMACSHA1 && v == wire.V2 {
			all = append(all, wire.Key{ID: 0x01020304, Algorithm: a, Secret: []byte("a secret"), Extended: true})
		}
	}
	all[0] = wire.Key{}
	return all
}

// naive is the Internet checksum, with the pseudo header of OSPFv3 and without the authentication of OSPFv2.
func naive(v wire.Version, b []byte, src, dst netip.Addr) uint16 {
	covered := bytes.Clone(b)
	if v == wire.V2 {
		copy(covered[16:24], make([]byte, 8))
	} else {
		covered = append(covered, src.AsSlice()...)
		covered = append(covered, dst.AsSlice()...)
		covered = append(covered, 0, 0, byte(len(b)>>8), byte(len(b)), 0, 0, 0, wire.Protocol)
	}
	sum := 0
	for ; len(covered) > 1; covered = covered[2:] {
		sum += int(binary.BigEndian.Uint16(covered))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
