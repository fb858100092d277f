package sys

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
)

// addresser gives interfaces their addresses. Its methods belong to one goroutine.
type addresser struct {
	view   *view
	conn   *conn
	store  *store
	log    logger
	wanted map[string]core.SetInterface
	owned  map[string][]netip.Prefix // what we gave, so that we take back no one else's
	seen   map[string]presence       // as of the last look
}

// presence is what decides whether a device needs everything again: it was made anew, or it came up and IPv6 had
// dropped its addresses.
type presence struct {
	index int
	up    bool
}

// ownedKey is where the addresses of an interface are kept, for a process after us.
func ownedKey(name string) string { return "sys/addresses/" + name }

func newAddresser(v *view, c *conn, s *store, log logger) *addresser {
	a := &addresser{
		view: v, conn: c, store: s, log: log,
		wanted: map[string]core.SetInterface{}, owned: map[string][]netip.Prefix{}, seen: map[string]presence{},
	}
	for key, value := range s.all() {
		if name, ok := strings.CutPrefix(key, ownedKey("")); ok {
			a.owned[name] = parsePrefixes(value)
		}
	}
	return a
}

// set takes in what an interface shall be. When it does not exist yet, it gets that when it appears.
func (a *addresser) set(want core.SetInterface) {
	a.wanted[want.Name] = want
	if released(want) {
		delete(a.wanted, want.Name)
	}
	i, ok := a.view.byName(want.Name)
	if !ok {
		a.own(want.Name, nil)
		return
	}
	a.apply(i, want)
}

// released tells that the interface is to be given back.
func released(s core.SetInterface) bool { return len(s.Addresses) == 0 && s.MTU == 0 }

// changed looks at an interface that came, went, or came up.
func (a *addresser) changed(name string) {
	i, ok := a.view.byName(name)
	if !ok {
		delete(a.seen, name)
		return
	}
	before, now := a.seen[name], presence{i.index, i.admin && i.running}
	a.seen[name] = now
	if want, ours := a.wanted[name]; ours && (now.index != before.index || now.up && !before.up) {
		a.apply(i, want)
	}
}

// apply asks for all of it, whatever the view says, which may lag behind our own last change; the kernel does
// nothing for what it has already. Removing goes first: with the first address of a prefix Linux removes the others
// of that prefix.
func (a *addresser) apply(i iface, want core.SetInterface) {
	tun := i.kind == "tun"
	if tun && !released(want) {
		prepareTunnel(i.name, want.Addresses, a.log)
	}
	for _, p := range a.owned[i.name] {
		if !slices.Contains(want.Addresses, p) {
			a.step(i, "remove "+p.String(), a.address(unix.RTM_DELADDR, 0, i, p, 0))
		}
	}
	a.own(i.name, want.Addresses)
	if released(want) {
		return
	}
	for _, p := range want.Addresses {
		var flags uint32
		if tun && p.Addr().Is6() {
			flags = unix.IFA_F_NODAD // nobody is on the link to answer
		}
		a.step(i, "add "+p.String(), a.address(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, i, p, flags))
	}
	if want.MTU != 0 {
		a.step(i, fmt.Sprintf("set mtu %d", want.MTU), a.link(i.index, want.MTU, false))
	}
	a.step(i, "set up", a.link(i.index, 0, true))
}

func (a *addresser) address(kind, flags uint16, i iface, p netip.Prefix, ifa uint32) error {
	return a.conn.do(kind, flags, func(b []byte) []byte { return composeAddr(b, i.index, p, ifa) })
}

func (a *addresser) link(index, mtu int, up bool) error {
	return a.conn.do(unix.RTM_NEWLINK, 0, func(b []byte) []byte { return composeLink(b, index, mtu, up) })
}

// step logs what failed. An interface or address that is not there any more is none of our failures.
func (a *addresser) step(i iface, doing string, err error) {
	if err == nil || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return
	}
	a.log.Warn("sys.interface", "interface", i.name, "doing", doing, "cause", err, "remedy", addressRemedy(err))
}

func addressRemedy(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "run as root or with CAP_NET_ADMIN"
	case errors.Is(err, unix.EACCES):
		return "IPv6 is disabled on the interface: see net.ipv6.conf.*.disable_ipv6"
	case errors.Is(err, unix.EINVAL):
		return "is the value within what the interface allows?"
	}
	return ""
}

func (a *addresser) own(name string, addrs []netip.Prefix) {
	if slices.Equal(a.owned[name], addrs) {
		return
	}
	a.owned[name] = slices.Clone(addrs)
	var words []string
	for _, p := range addrs {
		words = append(words, p.String())
	}
	a.store.set(ownedKey(name), strings.Join(words, " "))
}

// parsePrefixes reads what own wrote; what is no prefix is left out.
func parsePrefixes(s string) (out []netip.Prefix) {
	for _, w := range strings.Fields(s) {
		if p, err := netip.ParsePrefix(w); err == nil {
			out = append(out, p)
		}
	}
	return out
}
