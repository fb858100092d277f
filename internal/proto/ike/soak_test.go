package ike

import (
	"runtime"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// TestADay has a hub and two spokes, one behind a NAT, work for a day with short lifetimes: what is held stays as it is, no
// packet is lost while keys change, and in the end nothing is left.
func TestADay(t *testing.T) {
	w := newWorld(t, 1)
	w.behind("10.0.0.0/8", "203.0.113.1")
	short := func(p *Profile) {
		p.IKELifetime, p.ESPLifetime, p.IKE = 20*time.Minute, 5*time.Minute, ikes("aes256gcm-sha384-x25519")
	}
	hub := w.add("hub", "192.0.2.1", profile(short), 0)
	spokes := []*node{w.add("one", "192.0.2.2", profile(short), 0), w.add("two", "10.0.0.2", profile(short), 0)}
	for _, s := range spokes {
		s.ensure(hub)
	}
	w.pass(5 * time.Second)
	var early uint64
	for hour := range 24 {
		for end := w.now + time.Hour; w.now < end; {
			w.pass(5 * time.Second)
			w.dayOfTraffic(hub, spokes)
		}
		w.forgetThePast(hub, spokes)
		if n := len(hub.module.sas); n > 4 || len(hub.module.children) > 8 || len(hub.module.peers) != 2 {
			t.Fatalf("hour %d: %d IKE SAs, %d children, %d peers", hour, n, len(hub.module.children), len(hub.module.peers))
		}
		if hour == 3 {
			early = inUse()
		}
	}
	if late := inUse(); late > early+1<<20 {
		t.Errorf("%d octets after four hours, %d after a day", early, late)
	}
	if hub.counted("rekeyed")+hub.counted("rekeyed-by-peer") < 400 || hub.counted("established") != 2 {
		t.Error(hub.module.Counters())
	}
	if hub.module.handles.next > keptFree+8 || hub.module.spis.next > keptFree+32 {
		t.Errorf("numbers grow: %d handles, %d SPIs", hub.module.handles.next, hub.module.spis.next)
	}
	for _, s := range spokes {
		s.release(hub)
	}
	w.pass(time.Minute)
	for _, n := range append(spokes, hub) {
		if !n.idle() || len(n.module.wants) != 0 {
			t.Errorf("%s: %d SAs, %d children are left", n.name, len(n.module.sas), len(n.module.children))
		}
	}
}

// dayOfTraffic sends a packet each way between the hub and each spoke, which must arrive.
func (w *world) dayOfTraffic(hub *node, spokes []*node) {
	w.t.Helper()
	for _, s := range spokes {
		if !linked(s, hub) {
			w.t.Fatalf("%v: %s and the hub have no keys in common", w.now, s.name)
		}
		s.hears(hub)
		hub.hears(s)
	}
}

// hears has n get a packet from o.
func (n *node) hears(o *node) {
	for _, out := range o.out {
		if in, ok := n.in[out.spi]; ok {
			c := n.traffic[in.sa]
			c.PacketsIn++
			n.traffic[in.sa] = c
			n.post(dataplane.Opened{SA: in.sa, SPI: in.spi})
			n.run()
		}
	}
}

// forgetThePast drops what the test itself keeps.
func (w *world) forgetThePast(hub *node, spokes []*node) {
	for _, n := range append(spokes, hub) {
		n.logs, n.used, n.ups, n.downs, n.failed = nil, map[string]bool{}, nil, nil, nil
	}
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
