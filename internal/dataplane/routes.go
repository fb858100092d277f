package dataplane

import (
	"net/netip"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// routes is a table of routes that one goroutine writes and any number read without a lock. Host routes are apart:
// a hub whose tunnel has a mask of /32 has one for each spoke, and a persistent trie copies kilobytes to take one more.
type routes struct {
	hosts    shards[*Route]
	prefixes atomic.Pointer[bart.Table[*Route]]
}

func newRoutes() *routes {
	t := &routes{}
	t.prefixes.Store(new(bart.Table[*Route]))
	return t
}

// lookup is the longest match; nothing is longer than a host route.
func (t *routes) lookup(a netip.Addr) (*Route, bool) {
	if r := t.hosts.get(a); r != nil {
		return r, true
	}
	return t.prefixes.Load().Lookup(a)
}

func (t *routes) get(p netip.Prefix) *Route {
	if p.IsSingleIP() {
		return t.hosts.get(p.Addr())
	}
	r, _ := t.prefixes.Load().Get(p)
	return r
}

func (t *routes) set(r *Route) {
	if r.Prefix.IsSingleIP() {
		t.hosts.set(r.Prefix.Addr(), r)
		return
	}
	t.prefixes.Store(t.prefixes.Load().InsertPersist(r.Prefix, r))
}

func (t *routes) remove(p netip.Prefix) {
	if p.IsSingleIP() {
		t.hosts.remove(p.Addr())
		return
	}
	t.prefixes.Store(t.prefixes.Load().DeletePersist(p))
}
