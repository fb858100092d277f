package sys

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
)

// groups are the multicast groups of what the watcher follows.
var groups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_NEXTHOP, // with a nexthop object, routes go or change that nobody tells of
}

// watcher keeps the view. Its methods belong to one goroutine.
type watcher struct {
	view   *view
	events *conn // the subscription
	asks   *conn // dumps
	links  func(core.Link)
	routes func([]core.Event)
	doubt  func() // objects may have gone without a word
	log    logger

	pending bool // addresses changed that were not told yet
	stale   bool // routes may have changed without a word: read them again
	lost    bool // messages were lost: read everything again

	recheck time.Time // when to read the routes once more; zero = never
}

// recheckTime is after how long the routes are read once more when an interface went up or down. The kernel tells
// of that first and only then drops or revives routes, and reading them does not wait for it.
const recheckTime = 200 * time.Millisecond

// run follows the kernel until the subscription is closed.
func (w *watcher) run() {
	for {
		_ = w.events.file.SetReadDeadline(w.recheck)
		b, err := w.events.receive(true)
		w.take(b, err)
		for b != nil { // what is there already, so that one reading of the table serves all of it
			if b, err = w.events.receive(false); b != nil || err != nil {
				w.take(b, err)
			}
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		w.flush()
		w.resync()
	}
}

func (w *watcher) take(b []byte, err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.recheck, w.stale = time.Time{}, true
		_ = w.events.file.SetReadDeadline(time.Time{})
	case errors.Is(err, errOverrun):
		w.lost = true
	case err != nil && !errors.Is(err, os.ErrClosed):
		w.log.Warn("sys.netlink", "doing", "follow the kernel", "cause", err)
		w.lost = true
		time.Sleep(time.Second) // an error nobody has seen yet must not become a busy loop
	}
	for m, rest, ok := split(b); ok; m, rest, ok = split(rest) {
		w.message(m)
	}
}

func (w *watcher) message(m message) {
	switch m.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if l, ok := parseLink(m.body); ok {
			w.flush()
			w.link(l, m.kind == unix.RTM_DELLINK)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, ok := parseAddr(m.body); ok {
			w.addr(a, m.kind == unix.RTM_DELADDR)
		}
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		w.distrust()
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := parseRoute(m.body); ok {
			w.flush()
			w.route(r, m.kind, m.flags)
		}
	}
}

func (w *watcher) link(l linkMsg, gone bool) {
	if gone {
		w.distrust()
		w.broadcast(w.view.deleteLink(l.index))
		return
	}
	tell, moved := w.view.setLink(l)
	if moved {
		w.distrust()
	}
	w.broadcast(tell)
}

// distrust has the routes read again, now and once the kernel is through with what it has begun.
func (w *watcher) distrust() {
	w.doubt()
	w.stale = true
	w.recheck = time.Now().Add(recheckTime)
}

// addr takes in an address. The loss of one takes along, without a word, IPv4 routes that prefer it as source.
func (w *watcher) addr(a addrMsg, gone bool) {
	w.pending = true
	if !gone {
		w.view.setAddr(a)
		return
	}
	w.view.deleteAddr(a)
	if a.prefix.Addr().Is4() {
		w.distrust()
	}
}

// route takes in what others did to a route. What they did to one of ours may be older than what we have written since, of
// which nobody tells; and one that was appended to another of its key need not be the one the kernel uses. Then only a
// reading tells.
func (w *watcher) route(r routeMsg, kind, flags uint16) {
	if r.protocol == kernel.Protocol || r.object != 0 && len(r.hops) == 0 || flags&unix.NLM_F_APPEND != 0 {
		w.stale = true
		return
	}
	w.view.table.Lock()
	defer w.view.table.Unlock()
	var tell []core.Event
	var sure bool
	if kind == unix.RTM_DELROUTE {
		tell, sure = w.view.deleteRoute(r)
	} else {
		tell, sure = w.view.setRoute(r, flags&unix.NLM_F_REPLACE != 0)
	}
	w.stale = w.stale || !sure
	w.routes(tell)
}

// flush tells of addresses, before anything that came after them is told.
func (w *watcher) flush() {
	if w.pending {
		w.pending = false
		w.broadcast(w.view.changes())
	}
}

func (w *watcher) broadcast(links []core.Link) {
	for _, l := range links {
		w.links(l)
	}
}

// resync reads again what cannot be trusted any more. When that fails it is tried again after a while.
func (w *watcher) resync() {
	for w.lost || w.stale {
		if w.lost {
			w.log.Info("sys.resync", "cause", errOverrun)
			w.drain()
		}
		if err := w.read(w.lost); err != nil {
			w.log.Warn("sys.resync", "doing", "read the kernel's interfaces and routes", "cause", err)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			time.Sleep(time.Second)
			continue
		}
		w.lost, w.stale = false, false
	}
}

// How long a burst that was too much for the socket is waited for, and how long it pauses when it is over.
const (
	burst = time.Second
	pause = 10 * time.Millisecond
)

// drain throws away what comes while messages are being lost anyway, until the burst is over, so that everything is read once
// and not again and again while another program fills the table.
func (w *watcher) drain() {
	for end := time.Now().Add(burst); time.Now().Before(end); {
		_ = w.events.file.SetReadDeadline(time.Now().Add(pause))
		if _, err := w.events.receive(true); err != nil && !errors.Is(err, errOverrun) {
			return
		}
	}
}

// read takes in a dump: of the routes, or of everything. Interfaces that appeared before the dump of the routes
// are known from the one of the interfaces, or their routes come again as events. Nothing of ours is written meanwhile.
func (w *watcher) read(everything bool) error {
	if everything {
		links, addrs, err := w.dumpLinks()
		if err != nil {
			return err
		}
		w.broadcast(w.view.replaceLinks(links, addrs))
	}
	w.view.table.Lock()
	defer w.view.table.Unlock()
	all, err := w.asks.dumpObjects()
	w.view.objects.can = err == nil && !w.view.plain
	routes, err := w.asks.dumpRoutes()
	if err != nil {
		return err
	}
	w.view.objects.read(all, routes)
	w.routes(w.view.replaceRoutes(routes, all))
	return nil
}

// dumpObjects reads the nexthop objects. An error means that the kernel has none.
func (c *conn) dumpObjects() (all []nexthopMsg, err error) {
	err = c.dump(unix.RTM_GETNEXTHOP, make([]byte, unix.SizeofNhmsg), func() { all = all[:0] }, func(m message) {
		if n, ok := parseNexthop(m.body); ok {
			all = append(all, n)
		}
	})
	return all, err
}

// dumpRoutes reads the main tables of both families.
func (c *conn) dumpRoutes() (routes []routeMsg, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		head := make([]byte, unix.SizeofRtMsg)
		head[0], head[4] = family, unix.RT_TABLE_MAIN
		before := len(routes)
		err := c.dump(unix.RTM_GETROUTE, head, func() { routes = routes[:before] }, func(m message) {
			if r, ok := parseRoute(m.body); ok {
				routes = append(routes, r)
			}
		})
		if err != nil && !errors.Is(err, unix.ENOENT) { // a table that nobody ever wrote to
			return nil, err
		}
	}
	return routes, nil
}

func (w *watcher) dumpLinks() (links []linkMsg, addrs []addrMsg, err error) {
	err = w.asks.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func() { links = links[:0] }, func(m message) {
		if l, ok := parseLink(m.body); ok {
			links = append(links, l)
		}
	})
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err != nil {
			return nil, nil, err
		}
		head := make([]byte, unix.SizeofIfAddrmsg)
		head[0] = family
		before := len(addrs)
		err = w.asks.dump(unix.RTM_GETADDR, head, func() { addrs = addrs[:before] }, func(m message) {
			if a, ok := parseAddr(m.body); ok {
				addrs = append(addrs, a)
			}
		})
	}
	return links, addrs, err
}

// start reads everything for the first time. What was told before is older: a device that has its carrier by now would lose it
// once more.
func (w *watcher) start() error {
	for b, err := w.events.receive(false); b != nil || errors.Is(err, errOverrun); {
		b, err = w.events.receive(false)
	}
	if err := w.read(true); err != nil {
		return err
	}
	w.routes([]core.Event{kernel.Synced{}})
	return nil
}
