package sys

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// maxBatch bounds how many routes go to the kernel in one write, and how long who reads the table has to wait.
const maxBatch = 256

// Routes that leave a nexthop object wait for the others that lead by it: when all of them go the same way, the object is
// changed instead, in one message. Few are not worth waiting for, nor those that come slower than they could be written.
const (
	worthWaiting = 64
	nextOne      = 3 * time.Millisecond
	toBegin      = 100 * time.Millisecond
	forEach      = 20 * time.Microsecond // that has come
)

// waits are how long routes wait for one more, and for all of them: so long, and for each that has come.
type waits struct{ one, all, each time.Duration }

// over reports whether those that leave an object have waited enough.
func (w waits) over(m *move) bool {
	return time.Since(m.since) >= w.all+time.Duration(len(m.changes))*w.each
}

// router writes routes. Its methods belong to one goroutine.
type router struct {
	view  *view
	conn  *conn
	tell  func([]core.Event)
	doubt atomic.Bool // objects may be gone

	batch    batch
	requests []request
	scratch  []byte
	moves    map[uint32]*move // by the object that is left
	waiting  map[kernel.Key]*change
	outs     map[wanted]found // of this round
	last     map[kernel.Key]int
	changes  []change
	sent     int // messages, ever
	waits    waits
}

// wanted is a next hop of the RIB for a family.
type wanted struct {
	rib.NextHop
	ipv6 bool
}

type found struct {
	hop outHop
	err error
}

// change is one route on its way into the kernel or out of it.
type change struct {
	key     kernel.Key
	install *kernel.Route // the one below; nil: remove
	route   kernel.Route
	hops    []outHop
	only    [1]outHop // where hops is kept when there is but one
	to      string    // the next hops as a key, where they are to be an object's
	by      *way      // the object
	again   bool      // tried a second time
	err     error
}

// move is of routes that leave an object for the same next hops.
type move struct {
	to      string
	changes []*change
	since   time.Time
}

// request is one message: of a route, or of an object.
type request struct {
	change *change
	way    *way
	leg    *leg
	err    error
}

func newRouter(v *view, c *conn, tell func([]core.Event)) *router {
	return &router{view: v, conn: c, tell: tell, moves: map[uint32]*move{}, waiting: map[kernel.Key]*change{}, outs: map[wanted]found{}, last: map[kernel.Key]int{}, waits: waits{nextOne, toBegin, forEach}}
}

// serve writes routes as they come, until the queue is closed and empty.
func (r *router) serve(q *queue[core.Effect]) {
	defer close(q.idle)
	for {
		wait := time.Duration(0)
		if len(r.waiting) > 0 {
			wait = r.waits.one
		}
		effects, open := q.takeWithin(wait)
		if !open && len(r.waiting) == 0 {
			return
		}
		r.do(effects)
	}
}

// do writes the routes of the effects, and reports what came of it. Without effects, what waits has waited enough.
func (r *router) do(effects []core.Effect) {
	clear(r.outs)
	if len(effects) == 0 {
		r.round(nil, false)
	}
	for len(effects) > 0 {
		if l, ok := effects[0].(kernel.Linger); ok {
			effects = append(r.linger(l), effects[1:]...)
			continue
		}
		n := min(len(effects), maxBatch)
		if l := slices.IndexFunc(effects[:n], lingers); l > 0 {
			n = l
		}
		r.round(effects[:n], true)
		effects = effects[n:]
	}
}

func lingers(f core.Effect) bool {
	_, is := f.(kernel.Linger)
	return is
}

// linger is what to write so that the routes by these interfaces do without objects, which the kernel drops with the carrier.
func (r *router) linger(l kernel.Linger) (effects []core.Effect) {
	r.round(nil, false)
	r.view.table.Lock()
	defer r.view.table.Unlock()
	r.view.plain, r.view.objects.can = true, false
	r.view.mu.RLock()
	defer r.view.mu.RUnlock()
	for k := range r.view.objects.users {
		route := r.view.routes[k].Route
		if slices.ContainsFunc(route.NextHops, func(h rib.NextHop) bool { return slices.Contains(l.Interfaces, h.Interface) }) {
			effects = append(effects, kernel.Install{Route: route})
		}
	}
	return effects
}

// round writes what one batch of effects asks for.
func (r *router) round(effects []core.Effect, patient bool) {
	r.view.table.Lock()
	defer r.view.table.Unlock()
	if r.doubt.Swap(false) {
		r.recheck()
	}
	r.write(r.sort(effects))
	var left []*change
	for _, id := range r.movers() {
		left = append(left, r.advance(id, patient)...)
	}
	for chunk := range slices.Chunk(left, maxBatch) {
		r.write(chunk)
	}
	r.discard()
}

// recheck finds which of our objects the kernel still has.
func (r *router) recheck() {
	all, err := r.conn.dumpObjects()
	if err != nil {
		r.view.objects.can = false
		r.view.objects.forget()
		return
	}
	r.view.objects.check(all)
}

// sort prepares the effects, the last of each key, and returns those to be written now. The others wait for company.
func (r *router) sort(effects []core.Effect) (now []*change) {
	clear(r.last)
	for i, f := range effects {
		k, _ := routeKey(f)
		r.last[k] = i
	}
	changes := r.room(len(effects))
	for i, f := range effects {
		k, ok := routeKey(f)
		if !ok || r.last[k] != i {
			continue
		}
		r.unwait(k)
		c := &changes[i]
		r.prepare(c, k, f)
		switch {
		case c.err != nil:
			r.refuse(c)
		case !r.wait(c):
			now = append(now, c)
		}
	}
	return now
}

// room is for the changes of a round, the same as before unless some of those wait.
func (r *router) room(n int) []change {
	if len(r.waiting) > 0 || len(r.changes) < n {
		r.changes = make([]change, n)
	}
	clear(r.changes)
	return r.changes[:n]
}

func routeKey(f core.Effect) (kernel.Key, bool) {
	switch f := f.(type) {
	case kernel.Install:
		return f.Key(), true
	case kernel.Remove:
		return kernel.Key(f), true
	}
	return kernel.Key{}, false
}

// wait has a change that leaves an object wait for the others; false when it cannot.
func (r *router) wait(c *change) bool {
	w := r.view.objects.users[c.key]
	if c.install == nil || w == nil || w.to == c.to || !w.fits(c.to) || w.refs < 2 {
		return false
	}
	m := r.moves[w.id]
	if m == nil {
		m = &move{to: c.to, since: time.Now()}
		r.moves[w.id] = m
	}
	if m.to != c.to {
		m.to = "" // they part: see advance
	}
	m.changes = append(m.changes, c)
	r.waiting[c.key] = c
	return true
}

// unwait takes back a change that a later one of its key makes void.
func (r *router) unwait(k kernel.Key) {
	c := r.waiting[k]
	if c == nil {
		return
	}
	delete(r.waiting, k)
	for _, m := range r.moves {
		m.changes = slices.DeleteFunc(m.changes, func(o *change) bool { return o == c })
	}
}

// movers are the objects that routes are leaving, in order.
func (r *router) movers() (ids []uint32) {
	for id := range r.moves {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// advance moves the object if all who lead by it want that; or returns the changes that wait no more.
func (r *router) advance(id uint32, patient bool) []*change {
	m, w := r.moves[id], r.view.objects.ways[id]
	switch {
	case w != nil && m.to != "" && len(m.changes) == w.refs && len(m.changes) > 1 && r.repoint(w, m):
		r.settle(id)
		return nil
	case w != nil && m.to != "" && patient && len(m.changes) < w.refs && w.refs >= worthWaiting && !r.waits.over(m):
		return nil
	}
	return r.settle(id)
}

// settle ends the waiting for an object.
func (r *router) settle(id uint32) []*change {
	m := r.moves[id]
	delete(r.moves, id)
	for _, c := range m.changes {
		delete(r.waiting, c.key)
	}
	return m.changes
}

// repoint has an object lead elsewhere, and with it all routes by it; false when the kernel does not let us.
func (r *router) repoint(w *way, m *move) bool {
	o, legs, weights := r.view.objects, w.legs, w.weights
	if w.group {
		w.legs, w.weights = r.legs(m.changes[0])
	}
	r.object(w, m.changes[0], unix.NLM_F_REPLACE)
	for _, q := range r.exchange() {
		if q.err != nil {
			o.unleg(w.legs)
			w.legs, w.weights = legs, weights
			r.doubt.Store(true)
			return false
		}
	}
	o.unleg(legs)
	o.point(w, m.to)
	for _, c := range m.changes {
		c.by = w
	}
	r.written(m.changes)
	return true
}

// write writes changes, and tells what came of them. Those that an object failed are tried once more.
func (r *router) write(changes []*change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		r.ask(c)
	}
	requests := r.exchange()
	broken := r.broken(requests)
	var done, again []*change
	for _, q := range requests {
		c := q.change
		if c == nil {
			continue
		}
		if c.err = q.err; c.by != nil && r.failed(c, broken) {
			again = append(again, c)
		} else if r.done(c) {
			done = append(done, c)
		}
	}
	r.written(done)
	r.write(again)
}

// ask appends the messages for a change: the object that the route is to lead by, if there is none yet, and the route. A route
// of ours is replaced; a route of somebody else never is.
func (r *router) ask(c *change) {
	if c.install == nil {
		r.request(request{change: c}, unix.RTM_DELROUTE, 0, func(b []byte) []byte { return composeRemoval(b, c.key) })
		return
	}
	var id uint32
	if c.to != "" {
		c.by = r.way(c)
		id = c.by.id
	}
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if r.view.ours(c.key) {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	r.request(request{change: c}, unix.RTM_NEWROUTE, flags, func(b []byte) []byte {
		return composeRoute(b, *c.install, c.hops, id)
	})
}

// way is the object for the next hops of a change.
func (r *router) way(c *change) *way {
	o := r.view.objects
	if w := o.byTo[c.to]; w != nil {
		return w
	}
	w := &way{id: o.identifier(), group: len(c.hops) > 1}
	if w.group {
		w.legs, w.weights = r.legs(c)
	}
	o.ways[w.id], o.idle = w, append(o.idle, w)
	o.point(w, c.to)
	r.object(w, c, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	return w
}

// object appends the message that has the way lead by the next hops of a change.
func (r *router) object(w *way, c *change, flags uint16) {
	r.request(request{way: w}, unix.RTM_NEWNEXTHOP, flags, func(b []byte) []byte {
		if !w.group {
			return composeNexthop(b, w.id, c.hops[0], c.key.Prefix.Addr().Is6())
		}
		members := make([]member, len(w.legs))
		for i, l := range w.legs {
			members[i] = member{l.id, w.weights[i]}
		}
		return composeGroup(b, w.id, members)
	})
}

// legs are the members that a group for the next hops of a change has. Those that are not there yet are made.
func (r *router) legs(c *change) (legs []*leg, weights []uint8) {
	o, ipv6 := r.view.objects, c.key.Prefix.Addr().Is6()
	for _, h := range c.hops {
		to := string(hopKey(nil, h, ipv6))
		l := o.legs[to]
		if l == nil {
			l = &leg{id: o.identifier(), to: to}
			o.legs[to] = l
			r.request(request{leg: l}, unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_EXCL, func(b []byte) []byte {
				return composeNexthop(b, l.id, h, ipv6)
			})
		}
		l.refs++
		legs, weights = append(legs, l), append(weights, h.weight)
	}
	return legs, weights
}

func (r *router) request(q request, kind, flags uint16, body func([]byte) []byte) {
	r.conn.request(&r.batch, kind, flags, body)
	r.requests = append(r.requests, q)
}

// exchange sends what was asked, and returns what came of it. It is good until the next.
func (r *router) exchange() []request {
	requests := r.requests
	for i, err := range r.conn.exchange(&r.batch) {
		requests[i].err = err
	}
	r.sent += len(requests)
	r.batch.reset()
	r.requests = r.requests[:0]
	return requests
}

// broken are the objects that the kernel refused, and why. They are forgotten. An identifier that somebody else took in our
// range stays his.
func (r *router) broken(requests []request) map[*way]error {
	var ways map[*way]error
	o := r.view.objects
	legs := map[*leg]error{}
	for _, q := range requests {
		if q.err == nil || q.change != nil {
			continue
		}
		if q.leg != nil {
			legs[q.leg] = q.err
			delete(o.legs, q.leg.to)
			continue
		}
		if ways == nil {
			ways = map[*way]error{}
		}
		ways[q.way] = q.err
		for _, l := range q.way.legs {
			ways[q.way] = cmp.Or(legs[l], ways[q.way])
		}
		o.drop(q.way)
	}
	return ways
}

// failed reports whether the route is to be tried again with another object: its own has an identifier that somebody took, or
// is no more. An object that the kernel refuses for another reason is the route's error.
func (r *router) failed(c *change, broken map[*way]error) bool {
	o, w := r.view.objects, c.by
	err, refused := broken[w]
	switch {
	case refused && !errors.Is(err, unix.EEXIST):
		c.err = err
		return false
	case refused:
		o.taken[w.id] = true
	case c.err == nil || errors.Is(c.err, unix.EEXIST):
		return false
	default:
		r.recheck()
		if o.ways[w.id] == w {
			return false
		}
	}
	if c.again {
		return false
	}
	c.again, c.by = true, nil
	return true
}

// done takes in what came of a change; false when it is not done.
func (r *router) done(c *change) bool {
	switch {
	case c.install != nil && errors.Is(c.err, unix.EEXIST):
		r.exists(c)
	case c.install == nil && (errors.Is(c.err, unix.ESRCH) || errors.Is(c.err, unix.ENOENT)):
		c.err = nil // it was gone already, which is as good
	}
	if c.err != nil {
		r.refuse(c)
	}
	return c.err == nil
}

// written takes in that changes are done, and tells.
func (r *router) written(changes []*change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		r.view.objects.use(c.key, c.by)
	}
	r.tell(r.view.wrote(changes))
}

// exists tries again when the route in the way is one of ours that we did not know of. The kernel deletes by
// protocol number, so somebody else's stays.
func (r *router) exists(c *change) {
	err := r.conn.do(unix.RTM_DELROUTE, 0, func(b []byte) []byte { return composeRemoval(b, c.key) })
	if err != nil {
		c.err = errors.New("a route of another program has the prefix and the metric")
		return
	}
	var id uint32
	if c.by != nil {
		id = c.by.id
	}
	c.err = r.conn.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, func(b []byte) []byte {
		return composeRoute(b, *c.install, c.hops, id)
	})
}

// discard removes objects that nobody uses.
func (r *router) discard() {
	o := r.view.objects
	for _, w := range o.idle {
		if w.refs == 0 && o.ways[w.id] == w {
			o.drop(w)
			r.give(request{way: w}, w.id)
		}
	}
	o.idle = nil
	if o.loose {
		for _, to := range slices.Sorted(maps.Keys(o.legs)) {
			if l := o.legs[to]; l.refs == 0 {
				delete(o.legs, to)
				delete(o.taken, l.id)
				r.give(request{leg: l}, l.id)
			}
		}
		o.loose = false
	}
	r.exchange()
}

func (r *router) give(q request, id uint32) {
	r.request(q, unix.RTM_DELNEXTHOP, 0, func(b []byte) []byte { return composeNexthopRemoval(b, id) })
}

// prepare finds what a route needs of the host.
func (r *router) prepare(c *change, k kernel.Key, f core.Effect) {
	c.key = k
	if k.VRF != "" {
		c.err = fmt.Errorf("VRF %s has no table in the kernel: only the main table is served", k.VRF)
	}
	in, ok := f.(kernel.Install)
	if !ok {
		return
	}
	c.route, c.install, c.hops = in.Route, &c.route, c.only[:0]
	for _, h := range in.NextHops {
		o, err := r.hop(in.Prefix, h)
		c.hops, c.err = append(c.hops, o), cmp.Or(c.err, err)
	}
	if r.view.objects.can && len(c.hops) > 0 && c.err == nil {
		c.to = r.key(c.hops, k.Prefix.Addr().Is6())
	}
}

// key is that of next hops, which it puts in order.
func (r *router) key(hops []outHop, ipv6 bool) string {
	if len(hops) > 1 {
		slices.SortFunc(hops, func(a, b outHop) int { return bytes.Compare(hopKey(nil, a, ipv6), hopKey(nil, b, ipv6)) })
	}
	r.scratch = hopsKey(r.scratch[:0], hops, ipv6)
	if w := r.view.objects.byTo[string(r.scratch)]; w != nil {
		return w.to
	}
	return string(r.scratch)
}

// hop finds the interface of a next hop, and whether the kernel would not believe that the next hop is there.
func (r *router) hop(p netip.Prefix, h rib.NextHop) (outHop, error) {
	q := wanted{h, p.Addr().Is6()}
	a, known := r.outs[q]
	if !known {
		a.hop, a.err = r.find(q)
		r.outs[q] = a
	}
	return a.hop, a.err
}

func (r *router) find(q wanted) (outHop, error) {
	i, ok := r.view.byName(q.Interface)
	if !ok {
		return outHop{}, fmt.Errorf("interface %s does not exist", q.Interface)
	}
	if q.ipv6 && q.Via.Is4() {
		return outHop{}, errors.New("Linux has no IPv6 routes by an IPv4 next hop; give the tunnel an IPv6 prefix")
	}
	o := outHop{hop: hop{via: q.Via, index: i.index, weight: q.Weight}}
	o.onlink = q.Via.IsValid() && !q.Via.IsLinkLocalUnicast() && !covered(i, q.Via)
	return o, nil
}

func covered(i iface, via netip.Addr) bool {
	for _, a := range i.addrs {
		if a.prefix.Contains(via) {
			return true
		}
	}
	return false
}

func (r *router) refuse(c *change) {
	route := kernel.Route{VRF: c.key.VRF, Prefix: c.key.Prefix, Metric: c.key.Metric}
	doing := "remove"
	if c.install != nil {
		route, doing = *c.install, "install"
	}
	r.tell([]core.Event{kernel.Refused{Route: route, Err: fmt.Sprintf("%s route %s: %v%s", doing, describe(route), c.err, remedy(c.err))}})
}

// describe is the route as iproute2 would print it.
func describe(r kernel.Route) string {
	var b strings.Builder
	fmt.Fprint(&b, r.Prefix)
	for _, h := range r.NextHops {
		if h.Via.IsValid() {
			fmt.Fprintf(&b, " via %s", h.Via)
		}
		fmt.Fprintf(&b, " dev %s", h.Interface)
	}
	fmt.Fprintf(&b, " metric %d", r.Metric)
	return b.String()
}

// remedy is what to do about an error of the kernel.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return ": is the next hop inside a prefix of the interface?"
	case errors.Is(err, unix.ENETDOWN):
		return ": is the interface up?"
	case errors.Is(err, unix.EPERM):
		return ": run as root or with CAP_NET_ADMIN"
	case errors.Is(err, unix.EINVAL):
		return ": is the next hop an address another host can have?"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOSPC):
		return ": too many routes; see net.ipv6.route.max_size"
	}
	return ""
}
