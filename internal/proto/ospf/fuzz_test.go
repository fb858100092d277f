package ospf

import (
	"bytes"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// FuzzInstall floods one LSA of any kind and content, rightly checksummed, to an adjacent router: nothing fails, what is
// installed is flooded on as it came, and our own LSAs stay what they were.
func FuzzInstall(f *testing.F) {
	router := &wire.RouterLSA{Options: wire.OptE, Links: []wire.Link{{Kind: wire.LinkPointToPoint, ID: 0x01010101, Data: 1, Metric: 1}}}
	for k, body := range map[wire.LSAKey]wire.LSABody{
		{Type: 1, ID: 0x09090909, Router: 0x09090909}: router,
		{Type: 1, ID: 0x01010101, Router: 0x01010101}: router,
		{Type: 2, ID: 0x0a000001, Router: 0x02020202}: &wire.NetworkLSA{Mask: 0xffffff00, Routers: []wire.RouterID{0x01010101}},
		{Type: 9, ID: 3 << 24, Router: 0x02020202}:    &wire.Grace{Period: 100, Reason: 1},
	} {
		l, err := wire.Build(wire.V2, k, 1, wire.InitialSequence+5, body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(k.Type), k.ID, uint32(k.Router), uint16(1), l.Sequence, l.Raw[wire.LSAHeaderLen:])
	}
	f.Add(uint8(5), uint32(0), uint32(0x01010101), uint16(3600), wire.MaxSequence, make([]byte, 16))
	f.Fuzz(func(t *testing.T, kind uint8, id, from uint32, age uint16, sequence int32, data []byte) {
		w := pair(t, 1, nil)
		w.run(15 * time.Second)
		k := wire.LSAKey{Type: wire.LSAType(kind), ID: id, Router: wire.RouterID(from)}
		l, err := wire.Build(wire.V2, k, age, sequence, &wire.Opaque{Data: data[:min(len(data), 2000)]})
		if err != nil {
			t.Skip(err)
		}
		a := w.routers["a"]
		w.inject("b", a, &wire.Update{LSAs: []wire.LSA{l}})
		w.run(20 * time.Second)
		if n := a.loop.Panics[Name] + w.routers["b"].loop.Panics[Name]; n > 0 {
			t.Fatalf("a handler failed on %v: %v", k, a.logs)
		}
		for _, d := range a.m.Database(w.now) {
			if r, ok := d.Body.(*wire.RouterLSA); d.Key.Router == 0x01010101 && d.Key.Type == 1 && (!ok || len(r.Links) == 0) {
				t.Fatalf("RFC 2328 13.4: our router LSA says %+v", d)
			}
		}
	})
}

// FuzzReceive gives any octets to a router as a packet.
func FuzzReceive(f *testing.F) {
	var seeds [][]byte
	w := pair(&testing.T{}, 1, nil)
	w.spy = func(_ *router, p core.SendIP) { seeds = append(seeds, bytes.Clone(p.Payload)) }
	w.run(15 * time.Second)
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := w.routers["a"]
		a.loop.Post(Name, core.ReceivedIP{Interface: "e0", Source: addr("10.0.0.2"), Destination: wire.V2.AllRouters(), Protocol: 89, TTL: 1, Payload: b})
		a.loop.Run(w.now)
		if a.loop.Panics[Name] > 0 {
			t.Fatal(a.logs)
		}
	})
}
