package nhrp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Which SA leads to a server. Servers are known by an underlay address, and an SA with that address need not be theirs:
// several routers can be behind one NAT, and the address of an authenticated peer follows the packets that anybody repeats
// with another source. So an SA is a server's only once a registration is up through it. Those that come to nothing are
// tried in turn, and IKE is asked for one more, beside them, at growing intervals.
const (
	firstInsist   = 30 * time.Second
	longestInsist = 10 * time.Minute
)

// protect asks for an SA with the hub while registrations need one, and takes one that is up.
func (h *hub) protect(env *core.Env) {
	t := h.s.t
	want := t.link.Protected && h.wantsAny()
	switch {
	case want && !h.needs:
		h.needs, h.sa = true, h.next()
		t.ensure(env, h.nbma, true)
	case !want && h.needs:
		h.unprotect(env)
	}
}

// unprotect gives the SA back.
func (h *hub) unprotect(env *core.Env) {
	if h.needs {
		h.s.t.release(env, h.nbma)
	}
	h.needs, h.sa, h.why, h.vain, h.pause, h.insistAt = false, 0, "", nil, 0, 0
}

// candidates are the SAs that can be the hub's, best first: those that speak for its address, those that were made with
// its NBMA address rather than moved there, new ones.
func (h *hub) candidates() []dataplane.SA {
	all := slices.DeleteFunc(h.s.t.candidates(h.nbma), func(sa dataplane.SA) bool { return h.elsewhere(sa) != "" })
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b dataplane.SA) int { return cmp.Compare(h.rank(a), h.rank(b)) })
	return all
}

func (h *hub) rank(sa dataplane.SA) int {
	said, rank := h.s.t.speaks[sa], 0
	for _, r := range h.regs {
		if a := said[family(r.local)]; a.IsValid() && r.protocol.IsValid() && a != r.protocol {
			rank = 2
		}
	}
	if h.s.t.m.sas[sa].met != h.nbma {
		rank++
	}
	return rank
}

// elsewhere is why an SA leads to another router than the one that the configuration names; "" when it may be that.
func (h *hub) elsewhere(sa dataplane.SA) string {
	t, given, at := h.s.t, h.s.cfg.Protocol, place{sa: sa}
	said := t.speaks[sa][family(given)]
	switch {
	case !given.IsValid():
		return ""
	case !t.mayClaim(at, given):
		return fmt.Sprintf("%s, who is there, may not claim the address %v", t.identity(at), given)
	case said.IsValid() && said != given && !t.holds(at, given):
		return fmt.Sprintf("%s, who is there, is %v and not %v", t.identity(at), said, given)
	}
	return ""
}

// holds reports whether something that hangs on a place has a protocol address.
func (t *tunnel) holds(at place, protocol netip.Addr) bool {
	return slices.ContainsFunc(t.at[at], func(b *binding) bool { return b.protocol == protocol })
}

// next is the best SA that has not been tried in vain; 0 when there is none.
func (h *hub) next() dataplane.SA {
	for _, sa := range h.candidates() {
		if !slices.Contains(h.vain, sa) {
			return sa
		}
	}
	return 0
}

// another is the SA to try after the one in use, in vain or not; the same when there is no other.
func (h *hub) another() dataplane.SA {
	all := h.candidates()
	if len(all) == 0 {
		return h.sa
	}
	return all[(slices.Index(all, h.sa)+1)%len(all)]
}

// offered hears of an SA with the hub's NBMA address. It is taken when there is none, or none that is any good.
func (h *hub) offered(env *core.Env, sa dataplane.SA) {
	idle := !h.s.t.usable(h.sa) || !h.up() && slices.Contains(h.vain, h.sa)
	if h.needs && idle && !slices.Contains(h.vain, sa) && h.elsewhere(sa) == "" {
		h.adopt(env, sa)
	}
}

// despair hears that registrations through the SA in use come to nothing. It reports whether they have begun by another.
func (h *hub) despair(env *core.Env, r *registration) bool {
	t := h.s.t
	if !t.link.Protected || h.up() || !t.usable(h.sa) {
		return false
	}
	if !slices.Contains(h.vain, h.sa) {
		h.vain = append(h.vain, h.sa)
	}
	if next := h.next(); next != 0 {
		h.adopt(env, next)
		return true
	}
	h.insist(env)
	if r == h.regs[0] {
		h.sa = h.another()
	}
	return false
}

// insist asks IKE for an SA beside those through which no registration came about: the hub may be behind none of them. It
// may also be there and want nothing of us, to which more handshakes change nothing: hence the pauses.
func (h *hub) insist(env *core.Env) {
	if env.Now() < h.insistAt {
		return
	}
	h.pause = min(max(2*h.pause, firstInsist), longestInsist)
	h.insistAt = env.Now() + env.Jitter(h.pause, refreshJitter)
	t := h.s.t
	t.log(env, core.Warn, "wrong-router", "peer", h.nbma, "cause", "no registration came about through any security association with that address; trying to make another")
	t.request(env, h.nbma, true)
}

// proven takes in that a registration is up: the SA in use is the hub's.
func (h *hub) proven(env *core.Env) {
	insisted := h.pause > 0
	h.vain, h.pause, h.insistAt = nil, 0, 0
	if insisted { // no more beside it
		h.s.t.request(env, h.nbma, true)
	}
}

// wrong are the SAs with an NBMA address that lead to others than the server there. None is wrong where the server is.
func (t *tunnel) wrong(nbma netip.Addr) (list []dataplane.SA) {
	for _, h := range t.byPriority() {
		switch {
		case !h.needs || h.nbma != nbma:
			continue
		case h.up():
			return nil
		}
		for _, sa := range t.candidates(nbma) {
			if !slices.Contains(list, sa) && (slices.Contains(h.vain, sa) || h.elsewhere(sa) != "") {
				list = append(list, sa)
			}
		}
	}
	return list
}

// adopt has a server's registrations go through an SA.
func (h *hub) adopt(env *core.Env, sa dataplane.SA) {
	t := h.s.t
	before := h.sa
	h.sa, h.why = sa, ""
	t.log(env, core.Info, "protected", "peer", t.where(h.place()), "identity", t.identity(h.place()))
	if a := t.m.sas[before]; a == nil || a.Identity != t.m.sas[sa].Identity {
		for _, r := range h.regs {
			r.down(env, "")
		}
	}
	h.follow(env)
}

// follow has the bindings of a hub's registrations go where it is now, and registers there.
func (h *hub) follow(env *core.Env) {
	for _, r := range h.regs {
		if b := h.s.t.bindings[r.protocol]; b != nil && b.server == r {
			b.settle(env)
		}
		r.begin(env)
	}
}

// lostProtection hears that the hub's SA is gone: so is its registration, unless another SA leads there.
func (h *hub) lostProtection(env *core.Env, next dataplane.SA, reason string) {
	if next != 0 {
		h.adopt(env, next)
		return
	}
	h.sa, h.why = 0, reason
	if other := cmp.Or(h.next(), h.another()); other != 0 {
		h.adopt(env, other)
		return
	}
	h.giveUp(env, fmt.Sprintf("protection of %v was lost: %s", h.nbma, reason))
}

// protectionFailed lets another server take the place of one that no SA could be made with. The attempts go on.
func (h *hub) protectionFailed(env *core.Env, reason string) {
	h.sa, h.why = 0, reason
	h.giveUp(env, h.unprotected())
}

// unprotected is why there is no registration: the words for people.
func (h *hub) unprotected() string {
	for _, sa := range h.s.t.candidates(h.nbma) {
		if why := h.elsewhere(sa); why != "" && h.why == "" {
			return fmt.Sprintf("waiting for another security association with %v: %s", h.nbma, why)
		}
	}
	if h.why == "" {
		return fmt.Sprintf("waiting for a security association with %v", h.nbma)
	}
	return fmt.Sprintf("no security association with %v: %s", h.nbma, h.why)
}

// giveUp ends all registrations with a hub, and goes on waiting for it.
func (h *hub) giveUp(env *core.Env, reason string) {
	for _, r := range slices.Clone(h.regs) {
		if !slices.Contains(h.regs, r) {
			return // the hub is not wanted any more
		}
		r.lost(env, reason)
		if slices.Contains(h.regs, r) {
			r.begin(env)
		}
	}
}

// unlearn forgets what is known of an SA that is gone: its handle can be another's later.
func (h *hub) unlearn(sa dataplane.SA) {
	h.vain = slices.DeleteFunc(h.vain, func(o dataplane.SA) bool { return o == sa })
}
