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
	routes func(core.Event)
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
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.recheck, w.stale, err = time.Time{}, true, nil
		}
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
	case unix.RTM_NEWROUTE:
		if r, ok := parseRoute(m.body); ok {
			w.flush()
			w.route(r, m.flags)
		}
	case unix.RTM_DELROUTE:
		if r, ok := parseRoute(m.body); ok {
			w.flush()
			tell, sure := w.view.deleteRoute(r)
			w.stale = w.stale || !sure
			w.tell(tell)
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

// route takes in a route. One that was appended to another of its key need not be the one the kernel uses.
func (w *watcher) route(r routeMsg, flags uint16) {
	if flags&unix.NLM_F_APPEND != 0 {
		w.stale = true
		return
	}
	tell, sure := w.view.setRoute(r, flags&unix.NLM_F_REPLACE != 0)
	w.stale = w.stale || !sure
	w.tell(tell)
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

func (w *watcher) tell(evs []core.Event) {
	for _, ev := range evs {
		w.routes(ev)
	}
}

// resync reads again what cannot be trusted any more. When that fails it is tried again with the next event, or
// after a while.
func (w *watcher) resync() {
	for w.lost || w.stale {
		if w.lost {
			w.log.Info("sys.resync", "cause", errOverrun)
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

// read takes in a dump: of the routes, or of everything. Interfaces that appeared before the dump of the routes
// are known from the one of the interfaces, or their routes come again as events.
func (w *watcher) read(everything bool) error {
	if everything {
		links, addrs, err := w.dumpLinks()
		if err != nil {
			return err
		}
		w.broadcast(w.view.replaceLinks(links, addrs))
	}
	var routes []routeMsg
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := w.asks.dump(unix.RTM_GETROUTE, family, unix.SizeofRtMsg, func(m message) {
			if r, ok := parseRoute(m.body); ok {
				routes = append(routes, r)
			}
		})
		if err != nil {
			return err
		}
	}
	w.tell(w.view.replaceRoutes(routes))
	return nil
}

func (w *watcher) dumpLinks() (links []linkMsg, addrs []addrMsg, err error) {
	err = w.asks.dump(unix.RTM_GETLINK, unix.AF_UNSPEC, unix.SizeofIfInfomsg, func(m message) {
		if l, ok := parseLink(m.body); ok {
			links = append(links, l)
		}
	})
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err != nil {
			return nil, nil, err
		}
		err = w.asks.dump(unix.RTM_GETADDR, family, unix.SizeofIfAddrmsg, func(m message) {
			if a, ok := parseAddr(m.body); ok {
				addrs = append(addrs, a)
			}
		})
	}
	return links, addrs, err
}

// start reads everything for the first time.
func (w *watcher) start() error {
	if err := w.read(true); err != nil {
		return err
	}
	w.routes(kernel.Synced{})
	return nil
}
