package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// Association is a handle in the tables: what all keys of one peer share, while they change.
type Association struct {
	SA SA
	Traffic
	Drops

	outbound atomic.Pointer[Outbound]
	pathMTU  atomic.Uint32
	inbounds []*Inbound // the writer's own
}

// Outbound is what a handle sends by. Nothing in it changes: new keys, or another way, are a new Outbound.
type Outbound struct {
	*Association
	SPI           uint32
	Sealer        *esp.Sealer // nil in the twin
	Tunnel        bool        // mode: an IP header with the Inner addresses stands between ESP and GRE
	Local, Remote netip.AddrPort
	Inner         [2]netip.Addr // source and destination
	wear          *wear         // of the keys, on whatever way

	twin *twinOutbound
}

// Inbound is what packets with an SPI are opened by.
type Inbound struct {
	*Association
	SPI    uint32
	Opener *esp.Opener // nil in the twin
	Tunnel bool
	wear   wear
	opened atomic.Bool

	twin *twinInbound
}

// ReplayWindow is how many packets the replay window of an inbound SA has: a sender's queues each seal some ahead and wait for
// their turn, and network control overtakes what waits in a receiver's socket. It is the widest that takes a KiB.
const ReplayWindow = 4064

// wear counts what keys have protected, until the limit that is told of.
type wear struct {
	packets, bytes atomic.Uint64
	limit          Limit
	told           atomic.Bool
}

// begin says what the limit is. What the algorithm allows in all is told of when a sixteenth of it is left.
func (w *wear) begin(l Limit, algorithm uint64) {
	soft := algorithm - algorithm/16
	if l.Packets == 0 || l.Packets > soft {
		l.Packets = soft
	}
	if l.Bytes == 0 {
		l.Bytes = math.MaxUint64
	}
	w.limit = l
}

// count is true once, when the limit is reached.
func (w *wear) count(packets, bytes int) bool {
	p, b := w.packets.Add(uint64(packets)), w.bytes.Add(uint64(bytes))
	if p < w.limit.Packets && b < w.limit.Bytes || w.told.Load() {
		return false
	}
	return w.told.CompareAndSwap(false, true)
}

// CountOut counts packets that left in a row. It is true once for each key: then [Worn] is due.
func (o *Outbound) CountOut(packets, bytes int) (worn bool) {
	o.Association.CountOut(packets, bytes)
	return o.wear.count(packets, bytes)
}

// CountIn counts authentic packets that came in a row. It is true once for each SPI: then [Worn] is due.
func (in *Inbound) CountIn(packets, bytes int) (worn bool) {
	in.Association.CountIn(packets, bytes)
	return in.wear.count(packets, bytes)
}

// FirstPacket is true once for each SPI, for the first authentic packet: then [Opened] is due.
func (in *Inbound) FirstPacket() bool {
	return !in.opened.Load() && in.opened.CompareAndSwap(false, true)
}

// NotWorn takes back that CountOut was true, for who could not tell of it: it is true again.
func (o *Outbound) NotWorn() { o.wear.told.Store(false) }

// NotWorn takes back that CountIn was true.
func (in *Inbound) NotWorn() { in.wear.told.Store(false) }

// NotOpened takes back that FirstPacket was true.
func (in *Inbound) NotOpened() { in.opened.Store(false) }

// Outbound is what the handle sends by now; nil when it has no keys to.
func (a *Association) Outbound() *Outbound { return a.outbound.Load() }

// Remote is where the handle's packets go; the zero value when nowhere.
func (a *Association) Remote() netip.AddrPort {
	if o := a.outbound.Load(); o != nil {
		return o.Remote
	}
	return netip.AddrPort{}
}

// PathMTU is what [SetPathMTU] said: octets of the outer packet that fit on the way; 0 when that is not known.
func (a *Association) PathMTU() int { return int(a.pathMTU.Load()) }

// Association is a handle's; nil when there is none.
func (t *Tables) Association(sa SA) *Association {
	if a := t.associations.get(uint32(sa)); a != nil && a.SA == sa {
		return a
	}
	return nil
}

// DropBy counts a packet that a tunnel does not take out of an SA with both, so that it can be told whose it was.
func (t *Tables) DropBy(i *Interface, sa SA, why Reason) {
	i.Drop(why)
	if a := t.Association(sa); a != nil {
		a.Drop(why)
	}
}

// Outbound is what a handle sends by; nil when it is none, or has no keys to.
func (t *Tables) Outbound(sa SA) *Outbound {
	if a := t.Association(sa); a != nil {
		return a.Outbound()
	}
	return nil
}

// Inbound is what packets with that SPI are opened by; nil when it is nobody's.
func (t *Tables) Inbound(spi uint32) *Inbound {
	if in := t.inbounds.get(spi); in != nil && in.SPI == spi {
		return in
	}
	return nil
}

// RoamDue reports whether an authentic packet from that endpoint is to be told as [Roamed] now: it is not where the
// handle's packets go.
func (t *Tables) RoamDue(in *Inbound, remote netip.AddrPort, now time.Duration) bool {
	o := in.Outbound()
	return o != nil && o.Remote != remote && t.Roams.Allow(uint64(in.SA), now)
}

// StrayDue reports whether a packet with an unknown SPI is to be told as [UnknownSPI] now.
func (t *Tables) StrayDue(remote netip.AddrPort, spi uint32, now time.Duration) bool {
	return t.Strays.Allow(hashAddr(remote.Addr())^uint64(spi)<<16^uint64(remote.Port()), now)
}

// SAs are the counters of every handle, in order of it.
func (t *Tables) SAs() []SAStats {
	var list []SAStats
	for _, a := range t.associations.all() {
		list = append(list, SAStats{SA: a.SA, Counters: a.Counters(), Drops: a.ByReason(), PathMTU: a.PathMTU()})
	}
	slices.SortFunc(list, func(x, y SAStats) int { return cmp.Compare(x.SA, y.SA) })
	return list
}

// applySA does the effects of protection.
func (t *Tables) applySA(effect any) (event any) {
	switch e := effect.(type) {
	case SetInbound:
		return refusedSA(Failed{Doing: "install inbound", SA: e.SA, SPI: e.SPI}, t.setInbound(e))
	case SetOutbound:
		return refusedSA(Failed{Doing: "install outbound", SA: e.SA, SPI: e.SPI, Out: true}, t.setOutbound(e))
	case MoveSA:
		t.moveSA(e)
	case DeleteInbound:
		t.deleteInbound(e.SPI)
	case DeleteSA:
		t.deleteSA(e.SA)
	case SetPathMTU:
		if a := t.Association(e.SA); a != nil {
			a.pathMTU.Store(uint32(max(e.MTU, 0)))
		}
	case AskSA:
		return t.carried(e.SA)
	}
	return nil
}

func refusedSA(f Failed, err error) any {
	if err == nil {
		return nil
	}
	f.Doing, f.Err = fmt.Sprintf("%s SPI %#08x of SA %d", f.Doing, f.SPI, f.SA), err.Error()
	return f
}

// setInbound never replaces an SPI: the same keys with an empty replay window would take every packet a second time.
func (t *Tables) setInbound(e SetInbound) error {
	defer e.Keys.Clear()
	if held := t.inbounds.get(e.SPI); held != nil {
		return fmt.Errorf("SPI %#08x has its place in the table: delete that first", held.SPI)
	}
	a, err := t.associate(e.SA)
	if err != nil {
		return err
	}
	in := &Inbound{Association: a, SPI: e.SPI, Tunnel: e.Tunnel}
	in.wear.begin(e.Limit, esp.NewSequence(e.Keys.Suite, e.ESN).Limit())
	if t.twin {
		in.twin, err = newTwinInbound(e)
	} else {
		in.Opener, err = esp.NewOpener(e.SPI, e.Keys, e.ESN, ReplayWindow)
	}
	if err != nil {
		return err
	}
	a.inbounds = append(a.inbounds, in)
	t.inbounds.set(e.SPI, in)
	t.enlist(a)
	return nil
}

// setOutbound takes no SPI again that is sent by: the same keys from number 1 on would be the same nonces.
func (t *Tables) setOutbound(e SetOutbound) error {
	defer e.Keys.Clear()
	a, err := t.associate(e.SA)
	if err != nil {
		return err
	}
	if o := a.Outbound(); o != nil && o.SPI == e.SPI {
		return errors.New("the SA sends by this SPI already")
	}
	o := &Outbound{
		Association: a, SPI: e.SPI, Tunnel: e.Tunnel, Local: plainPort(e.Local), Remote: plainPort(e.Remote), wear: &wear{},
	}
	if o.Inner, err = innerOf(e); err != nil {
		return err
	}
	o.wear.begin(e.Limit, esp.NewSequence(e.Keys.Suite, e.ESN).Limit())
	if t.twin {
		o.twin, err = newTwinOutbound(e)
	} else {
		o.Sealer, err = esp.NewSealer(e.SPI, e.Keys, e.ESN)
	}
	if err != nil {
		return err
	}
	a.outbound.Store(o)
	t.enlist(a)
	return nil
}

// innerOf are the addresses of the header between in tunnel mode: those of the way when nothing else was agreed.
func innerOf(e SetOutbound) (inner [2]netip.Addr, err error) {
	if !e.Tunnel {
		return inner, nil
	}
	inner = [2]netip.Addr{plain(e.Inner[0]), plain(e.Inner[1])}
	for i, outer := range []netip.AddrPort{e.Local, e.Remote} {
		if !inner[i].IsValid() {
			inner[i] = plain(outer.Addr())
		}
	}
	if !inner[0].IsValid() || inner[0].Is4() != inner[1].Is4() {
		return inner, fmt.Errorf("the inner addresses %v and %v are not of one family", inner[0], inner[1])
	}
	return inner, nil
}

// associate is the handle's association, or a new one that is not in the table yet.
func (t *Tables) associate(sa SA) (*Association, error) {
	a := t.associations.get(uint32(sa))
	switch {
	case sa == 0:
		return nil, errors.New("0 is no handle")
	case a == nil:
		return &Association{SA: sa}, nil
	case a.SA != sa:
		return nil, fmt.Errorf("SA %d has its place in the table: delete that first", a.SA)
	}
	return a, nil
}

func (t *Tables) enlist(a *Association) {
	if t.associations.get(uint32(a.SA)) == nil {
		t.associations.set(uint32(a.SA), a)
	}
}

// moveSA forgets the path's MTU when the path is another.
func (t *Tables) moveSA(e MoveSA) {
	old := t.Outbound(e.SA)
	if old == nil {
		return
	}
	o := *old
	o.Local, o.Remote = plainPort(e.Local), plainPort(e.Remote)
	if o.Local.Addr() != old.Local.Addr() || o.Remote.Addr() != old.Remote.Addr() {
		o.pathMTU.Store(0)
	}
	o.outbound.Store(&o)
}

func (t *Tables) deleteInbound(spi uint32) {
	in := t.Inbound(spi)
	if in == nil {
		return
	}
	t.inbounds.remove(spi)
	in.inbounds = slices.DeleteFunc(in.inbounds, func(x *Inbound) bool { return x == in })
}

func (t *Tables) deleteSA(sa SA) {
	a := t.Association(sa)
	if a == nil {
		return
	}
	for _, in := range a.inbounds {
		t.inbounds.remove(in.SPI)
	}
	a.inbounds = nil
	a.outbound.Store(nil)
	t.associations.remove(uint32(sa))
}

func (t *Tables) carried(sa SA) Carried {
	c := Carried{SA: sa}
	if a := t.Association(sa); a != nil {
		c.Counters = a.ever()
	}
	return c
}

func (t *Tables) resetSAs() {
	for _, a := range t.associations.all() {
		a.Traffic.reset()
		a.Drops.reset()
	}
}

func plainPort(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(plain(a.Addr()), a.Port()) }
