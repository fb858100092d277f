package sys

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// maxBatch bounds how many routes go to the kernel in one write, so that their answers fit into ackBuffer.
const maxBatch = 256

// router writes routes. Its methods belong to one goroutine.
type router struct {
	view *view
	conn *conn
	tell func(core.Event)
}

// change is one route on its way into the kernel or out of it.
type change struct {
	install *kernel.Route // nil: remove
	hops    []outHop
	key     kernel.Key
	err     error
}

// routesAhead is how many of the first effects are of routes and of different keys, so that their order among
// themselves does not matter should one of them have to be tried again.
func routesAhead(effects []core.Effect) int {
	seen := map[kernel.Key]bool{}
	for i, f := range effects[:min(len(effects), maxBatch)] {
		k, ok := routeKey(f)
		if !ok || seen[k] {
			return i
		}
		seen[k] = true
	}
	return min(len(effects), maxBatch)
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

// do writes the routes of the effects, and reports those the kernel refuses.
func (r *router) do(effects []core.Effect) {
	var b batch
	var changes []*change
	for _, f := range effects {
		c := r.prepare(f)
		if c.err != nil {
			r.refuse(c)
			continue
		}
		r.request(&b, c)
		changes = append(changes, c)
	}
	if len(changes) == 0 {
		return
	}
	for i, err := range r.conn.exchange(&b) {
		changes[i].err = err
		r.done(changes[i])
	}
}

func (r *router) prepare(f core.Effect) *change {
	k, _ := routeKey(f)
	c := &change{key: k}
	if k.VRF != "" {
		c.err = fmt.Errorf("VRF %s has no table in the kernel: only the main table is served", k.VRF)
	}
	in, ok := f.(kernel.Install)
	if !ok {
		return c
	}
	c.install = &in.Route
	for _, h := range in.NextHops {
		o, err := r.hop(in.Prefix, h)
		c.hops, c.err = append(c.hops, o), cmp.Or(c.err, err)
	}
	return c
}

// hop finds the interface of a next hop, and whether the kernel would not believe that the next hop is there.
func (r *router) hop(p netip.Prefix, h rib.NextHop) (outHop, error) {
	i, ok := r.view.byName(h.Interface)
	if !ok {
		return outHop{}, fmt.Errorf("interface %s does not exist", h.Interface)
	}
	if p.Addr().Is6() && h.Via.Is4() {
		return outHop{}, errors.New("Linux has no IPv6 routes by an IPv4 next hop; give the tunnel an IPv6 prefix")
	}
	o := outHop{hop: hop{via: h.Via, index: i.index, weight: h.Weight}}
	o.onlink = h.Via.IsValid() && !h.Via.IsLinkLocalUnicast() && !covered(i, h.Via)
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

// request appends the change. A route of ours is replaced; a route of somebody else never is.
func (r *router) request(b *batch, c *change) {
	if c.install == nil {
		r.conn.request(b, unix.RTM_DELROUTE, 0, func(b []byte) []byte { return composeRemoval(b, c.key) })
		return
	}
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if r.view.ours(c.key) {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	r.conn.request(b, unix.RTM_NEWROUTE, flags, func(b []byte) []byte {
		return composeRoute(b, *c.install, c.hops)
	})
}

func (r *router) done(c *change) {
	switch {
	case c.install == nil:
		r.removed(c)
	case errors.Is(c.err, unix.EEXIST):
		r.exists(c)
	case c.err != nil:
		r.refuse(c)
	default:
		r.view.wrote(c.key, true)
	}
}

// removed takes in that a route is gone. That it was gone already is as good, and then nobody else will say so.
func (r *router) removed(c *change) {
	switch {
	case c.err == nil:
		r.view.wrote(c.key, false)
	case errors.Is(c.err, unix.ESRCH), errors.Is(c.err, unix.ENOENT):
		if r.view.ours(c.key) {
			for _, ev := range r.view.lost(c.key) {
				r.tell(ev)
			}
		}
	default:
		r.refuse(c)
	}
}

// exists tries again when the route in the way is one of ours that we did not know of. The kernel deletes by
// protocol number, so somebody else's stays.
func (r *router) exists(c *change) {
	err := r.conn.do(unix.RTM_DELROUTE, 0, func(b []byte) []byte { return composeRemoval(b, c.key) })
	if err != nil {
		c.err = errors.New("a route of another program has the prefix and the metric")
		r.refuse(c)
		return
	}
	c.err = r.conn.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, func(b []byte) []byte {
		return composeRoute(b, *c.install, c.hops)
	})
	if c.err != nil {
		r.refuse(c)
		return
	}
	r.view.wrote(c.key, true)
}

func (r *router) refuse(c *change) {
	route := kernel.Route{VRF: c.key.VRF, Prefix: c.key.Prefix, Metric: c.key.Metric}
	doing := "remove"
	if c.install != nil {
		route, doing = *c.install, "install"
	}
	r.tell(kernel.Refused{Route: route, Err: fmt.Sprintf("%s route %s: %v%s", doing, describe(route), c.err, remedy(c.err))})
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
