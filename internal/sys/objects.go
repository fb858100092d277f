package sys

import (
	"maps"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/kernel"
)

// Nexthop objects (Linux 5.3): routes with the same next hops name one object, and where all of them are to lead elsewhere,
// it is the object that changes, in one message. The kernel drops an object without a word when its interface goes down or
// loses its carrier, and the IPv4 routes by it: see objects.check.

// Identifiers of ours: the protocol number, then 24 bits.
const (
	firstObject = kernel.Protocol << 24
	lastObject  = firstObject + 1<<24 - 1
)

// way is an object that routes lead by: one next hop, or a group of legs. What it leads to can change.
type way struct {
	id      uint32
	to      string // next hops as [hopsKey] writes them; "" when it is not known
	group   bool
	legs    []*leg
	weights []uint8
	refs    int // routes
}

// leg is an object that is a member of groups. What it leads to never changes.
type leg struct {
	id   uint32
	to   string
	refs int // groups
}

// objects are those of ours that the kernel has. Whoever holds the view's table lock may use them.
type objects struct {
	can   bool // the kernel has nexthop objects at all
	next  uint32
	taken map[uint32]bool // identifiers of our range, whoever uses them
	ways  map[uint32]*way
	byTo  map[string]*way
	legs  map[string]*leg
	users map[kernel.Key]*way
	idle  []*way // that may have lost their last route
	loose bool   // legs may have lost their last group
}

func newObjects() *objects {
	o := &objects{next: firstObject}
	o.forget()
	return o
}

// forget takes in that nothing is known.
func (o *objects) forget() {
	o.taken, o.ways, o.byTo = map[uint32]bool{}, map[uint32]*way{}, map[string]*way{}
	o.legs, o.users, o.idle = map[string]*leg{}, map[kernel.Key]*way{}, nil
}

// identifier is a free one, in turn, so that one that was given back is not given again at once.
func (o *objects) identifier() uint32 {
	for {
		if o.next++; o.next > lastObject {
			o.next = firstObject + 1
		}
		if !o.taken[o.next] {
			o.taken[o.next] = true
			return o.next
		}
	}
}

// hopLen is how much of a key is of one next hop: what it leads to, and its weight.
const hopLen = 22

// Bits of a hop's first octet in a key.
const (
	keyIPv6 = 1 << iota
	keyGateway
	keyOnlink
)

// hopsKey appends what objects are told apart by: the next hops in order, ipv6 where they are on the link.
func hopsKey(b []byte, hops []outHop, ipv6 bool) []byte {
	for _, h := range hops {
		b = hopKey(b, h, ipv6)
		b = append(b, max(h.weight, 1))
	}
	if len(hops) == 1 {
		b[len(b)-1] = 1 // alone it means nothing
	}
	return b
}

func hopKey(b []byte, h outHop, ipv6 bool) []byte {
	var bits byte
	if h.via.IsValid() {
		bits, ipv6 = keyGateway, h.via.Is6()
	}
	if ipv6 {
		bits |= keyIPv6
	}
	if h.onlink {
		bits |= keyOnlink
	}
	via := [16]byte{}
	if h.via.IsValid() {
		via = h.via.As16()
	}
	return append(native.AppendUint32(append(b, bits), uint32(h.index)), via[:]...)
}

// fits reports whether w can lead to the next hops of the key: a group remains one, whatever it has, and routes on the link
// have another scope than those beyond a gateway.
func (w *way) fits(to string) bool {
	if w.to == "" || to == "" || len(to) > hopLen && !w.group {
		return false
	}
	const same = keyIPv6 | keyGateway
	for at := 0; at < len(to); at += hopLen {
		if to[at]&same != w.to[0]&same {
			return false
		}
	}
	return true
}

// point takes in what a way leads to now.
func (o *objects) point(w *way, to string) {
	if o.byTo[w.to] == w {
		delete(o.byTo, w.to)
	}
	w.to = to
	if to != "" && o.byTo[to] == nil {
		o.byTo[to] = w
	}
}

// drop takes in that a way is no more, nor the routes by it.
func (o *objects) drop(w *way) {
	o.point(w, "")
	delete(o.ways, w.id)
	delete(o.taken, w.id)
	o.unleg(w.legs)
	w.legs, w.weights = nil, nil
	if w.refs > 0 {
		maps.DeleteFunc(o.users, func(_ kernel.Key, by *way) bool { return by == w })
	}
	w.refs = 0
}

// unleg takes in that a group does not have these members any more.
func (o *objects) unleg(legs []*leg) {
	for _, l := range legs {
		l.refs--
		o.loose = true
	}
}

// use takes in that the route leads by w, nil for none.
func (o *objects) use(k kernel.Key, w *way) {
	old := o.users[k]
	if old == w {
		return
	}
	if old != nil {
		if old.refs--; old.refs == 0 {
			o.idle = append(o.idle, old)
		}
		delete(o.users, k)
	}
	if w != nil {
		w.refs++
		o.users[k] = w
	}
}

// read takes in a whole reading of the kernel: its objects, and the routes that name them. Those of an earlier process become
// ours. A route of somebody else by one of ours keeps it.
func (o *objects) read(all []nexthopMsg, routes []routeMsg) {
	o.forget()
	members := map[uint32]bool{}
	present := map[uint32]nexthopMsg{}
	for _, n := range all {
		if !ourObject(n.id) {
			continue
		}
		o.taken[n.id] = true
		if n.protocol != kernel.Protocol {
			continue
		}
		present[n.id] = n
		for _, m := range n.members {
			members[m.id] = true
		}
	}
	legs := map[uint32]*leg{}
	for id := range members {
		if n, ok := present[id]; ok && n.members == nil {
			legs[id] = &leg{id: id, to: string(hopKey(nil, n.out(), n.ipv6))}
			o.legs[legs[id].to] = legs[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(present)) {
		if n := present[id]; !members[id] {
			o.adopt(n, legs)
		}
	}
	for _, r := range routes {
		if w := o.ways[r.object]; w != nil {
			w.refs++
			if r.protocol == kernel.Protocol {
				o.users[r.key()] = w
			}
		}
	}
	for _, w := range o.ways {
		if w.refs == 0 {
			o.idle = append(o.idle, w)
		}
	}
}

func ourObject(id uint32) bool { return id > firstObject && id <= lastObject }

func (n nexthopMsg) out() outHop { return outHop{hop: n.hop, onlink: n.onlink} }

func (o *objects) adopt(n nexthopMsg, legs map[uint32]*leg) {
	w := &way{id: n.id, group: n.members != nil}
	o.ways[w.id] = w
	if !w.group {
		o.point(w, string(hopsKey(nil, []outHop{n.out()}, n.ipv6)))
		return
	}
	var to []byte
	for _, m := range n.members {
		l := legs[m.id]
		if l == nil {
			to = nil // of somebody else: it is ours to use and not to know
			break
		}
		l.refs++
		w.legs, w.weights = append(w.legs, l), append(w.weights, m.weight)
		to = append(append(to, l.to...), m.weight)
	}
	o.point(w, string(to))
}

// check compares what is known with the objects that the kernel has, after an interface went down or an error said so. Those
// that are missing took their routes along.
func (o *objects) check(all []nexthopMsg) {
	present := map[uint32]nexthopMsg{}
	for _, n := range all {
		if n.protocol == kernel.Protocol {
			present[n.id] = n
		}
		if ourObject(n.id) {
			o.taken[n.id] = true
		}
	}
	for to, l := range o.legs {
		if n, ok := present[l.id]; !ok || n.members != nil || string(hopKey(nil, n.out(), n.ipv6)) != to {
			delete(o.legs, to)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(o.ways)) {
		w := o.ways[id]
		if n, ok := present[id]; !ok {
			o.drop(w)
		} else if !w.as(n) {
			o.point(w, "")
		}
	}
}

// as reports whether the way is still what the kernel has.
func (w *way) as(n nexthopMsg) bool {
	if !w.group {
		return n.members == nil && string(hopsKey(nil, []outHop{n.out()}, n.ipv6)) == w.to
	}
	return slices.EqualFunc(n.members, w.legs, func(m member, l *leg) bool { return m.id == l.id })
}
