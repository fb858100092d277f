package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// checker looks for what contradicts between keys. Values that could not be read are zero and are passed over.
type checker struct {
	*reader
	conf    *Config
	own     map[netip.Addr]string // addresses of this router, and on what
	overlay bart.Table[string]    // prefixes of the tunnels, and of which
	link    bart.Table[string]    // prefixes of interfaces and tunnels, and of which
}

func check(r *reader, c *Config) {
	k := &checker{reader: r, conf: c, own: map[netip.Addr]string{}}
	for _, s := range k.spans() {
		k.own[s.prefix.Addr()] = s.owner
		k.link.Insert(s.prefix.Masked(), s.owner)
		if s.tunnel {
			k.overlay.Insert(s.prefix.Masked(), s.owner)
		}
	}
	k.interfaces()
	k.overlaps()
	k.twins()
	for i := range c.Tunnels {
		k.tunnel(&c.Tunnels[i])
	}
	k.protection()
	k.routes()
	k.ospf()
}

func pathOf(t *Tunnel) string { return join("tunnels", t.Name) }

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func (k *checker) interfaces() {
	for _, i := range k.conf.Interfaces {
		path := join("interfaces", i.Name)
		k.checkMTU(path, i.MTU, i.Addresses)
		if k.conf.tunnel(i.Name) != nil {
			k.failAt(path, "%s is a tunnel: its addresses belong to tunnels.%s", i.Name, i.Name)
		}
	}
}

// checkMTU holds RFC 8200 section 5: an IPv6 link carries 1280 octets.
func (k *checker) checkMTU(path string, mtu int, addrs []netip.Prefix) {
	if mtu > 0 && mtu < minMTUIPv6 && slices.ContainsFunc(addrs, isIPv6) {
		k.failAt(join(path, "mtu"), "mtu: %d is too small with IPv6 on it: want %d or more", mtu, minMTUIPv6)
	}
}

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

// span is a prefix of an interface or tunnel.
type span struct {
	prefix netip.Prefix
	owner  string
	path   string
	tunnel bool
}

func (k *checker) spans() []span {
	var out []span
	for _, i := range k.conf.Interfaces {
		out = appendSpans(out, i.Name, join("interfaces", i.Name), false, i.Addresses)
	}
	for _, t := range k.conf.Tunnels {
		out = appendSpans(out, t.Name, pathOf(&t), true, t.Addresses)
	}
	return out
}

func appendSpans(out []span, owner, path string, tunnel bool, addrs []netip.Prefix) []span {
	for i, p := range addrs {
		out = append(out, span{p, owner, item(join(path, "address"), i), tunnel})
	}
	return out
}

// overlaps finds prefixes on two interfaces of which one lies in the other. In order of address, what covers a
// prefix is on the stack. Link-local prefixes are on every link.
func (k *checker) overlaps() {
	spans := k.spans()
	slices.SortStableFunc(spans, func(a, b span) int { return a.prefix.Masked().Compare(b.prefix.Masked()) })
	var stack []span
	for _, s := range spans {
		if s.prefix.Addr().IsLinkLocalUnicast() && s.prefix.Addr().Is6() {
			continue
		}
		for len(stack) > 0 && !stack[len(stack)-1].prefix.Overlaps(s.prefix) {
			stack = stack[:len(stack)-1]
		}
		for i := len(stack) - 1; i >= 0; i-- {
			if k.clash(stack[i], s) {
				break
			}
		}
		if n := len(stack); n < maxStack {
			stack = append(stack, s)
		}
	}
}

const maxStack = 256 // more covering prefixes than bits need repeats, and those are reported

func (k *checker) clash(a, b span) bool {
	if k.after(a, b) {
		a, b = b, a
	}
	switch {
	case a.owner != b.owner:
		k.failAt(b.path, "address: %s of %s overlaps with %s of %s", b.prefix, b.owner, a.prefix, a.owner)
	case a.prefix.Addr() == b.prefix.Addr():
		k.failAt(b.path, "address: %s is given twice", b.prefix.Addr())
	default:
		return false
	}
	return true
}

// after reports whether a stands behind b in the file.
func (k *checker) after(a, b span) bool {
	pa, pb := k.place(a.path), k.place(b.path)
	return byPlace(pa.line, pa.column, pb.line, pb.column) > 0
}

// twins finds tunnels whose packets could not be told apart.
func (k *checker) twins() {
	type identity struct {
		underlay      string
		ipv6          bool
		key           dataplane.Key
		encapsulation dataplane.Encapsulation
	}
	first := map[identity]*Tunnel{}
	for i := range k.conf.Tunnels {
		t := &k.conf.Tunnels[i]
		id := identity{k.underlay(t), t.UnderlayIPv6 && !t.UnderlayAddress.IsValid(), t.Key, t.Encapsulation}
		if t.Protect != "" {
			id.encapsulation = dataplane.GRE // it is what ESP protects: nobody should have to tell the two apart
		}
		if id.underlay == "" || k.bad[join(pathOf(t), "key")] {
			continue
		}
		other, taken := first[id]
		if !taken {
			first[id] = t
			continue
		}
		if path := pathOf(t); t.Key.Set {
			k.failAt(join(path, "key"), "%s and %s have one underlay and one key, %d: give them different keys", other.Name, t.Name, t.Key.Value)
		} else {
			k.failAt(path, "%s and %s have one underlay and no key: give them keys", other.Name, t.Name)
		}
	}
}

// underlay is the address below a tunnel where the file tells it, else the interface.
func (k *checker) underlay(t *Tunnel) string {
	if t.UnderlayAddress.IsValid() {
		return t.UnderlayAddress.String()
	}
	var found []string
	for _, p := range k.conf.addresses(t.UnderlayInterface) {
		if p.Addr().Is6() == t.UnderlayIPv6 && !p.Addr().IsLinkLocalUnicast() {
			found = append(found, p.Addr().String())
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return t.UnderlayInterface
}

func (k *checker) tunnel(t *Tunnel) {
	path := pathOf(t)
	k.checkMTU(path, t.MTU, t.Addresses)
	k.checkUnderlay(path, t)
	if t.Protect == "" && !k.has(join(path, "protect")) {
		k.warnAt(path, "tunnel %s is in clear: it has no protect; fine for a lab, not for the Internet", t.Name)
	}
	if t.NHRP == nil {
		if !k.has(join(path, "nhrp")) {
			k.warnAt(path, "tunnel %s has no nhrp: no peer of it can be found", t.Name)
		}
		return
	}
	path = join(path, "nhrp")
	k.checkRole(path, t)
	k.checkClusters(path, t.NHRP)
	seen := map[nhrp.Server]bool{}
	for i, s := range t.NHRP.Servers {
		k.server(item(join(path, "servers"), i), t, s)
		id := nhrp.Server{NBMA: strings.ToLower(s.NBMA), Protocol: s.Protocol}
		if seen[id] && s.NBMA != "" {
			k.failAt(item(join(path, "servers"), i), "server %s is given twice", s.NBMA)
		}
		seen[id] = true
	}
}

func (k *checker) checkUnderlay(path string, t *Tunnel) {
	under := join(path, "underlay")
	a := t.UnderlayAddress
	switch {
	case k.conf.tunnel(t.UnderlayInterface) != nil:
		k.failAt(under, "underlay: %s is a tunnel: want an interface or address of the network below", t.UnderlayInterface)
	case !a.IsValid():
		return
	case t.UnderlayIPv6 != a.Is6():
		k.failAt(join(path, "underlay-family"), "underlay-family: the underlay %s is %s", a, family(a))
	}
	if p, owner, ok := k.inOverlay(a); ok {
		k.failAt(under, "underlay: %s lies in %s of tunnel %s: it would carry itself", a, p, owner)
	}
}

func (k *checker) inOverlay(a netip.Addr) (netip.Prefix, string, bool) {
	if !a.IsValid() {
		return netip.Prefix{}, "", false
	}
	return k.overlay.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

// checkRole warns of hubs and spokes that do half of their work.
func (k *checker) checkRole(path string, t *Tunnel) {
	switch hub := len(t.NHRP.Servers) == 0; {
	case k.has(join(path, "servers")): // a spoke, or servers that could not be read
	case hub && t.NHRP.Shortcut:
		k.warnAt(join(path, "shortcut"), "tunnel %s has shortcut and no servers: a spoke needs one to ask for the way", t.Name)
	case hub && !t.NHRP.Redirect:
		k.warnAt(join(path, "redirect"), "tunnel %s is a hub without redirect: its spokes are never told of shorter ways", t.Name)
	}
}

func (k *checker) checkClusters(path string, c *nhrp.Config) {
	used := map[string]bool{}
	var names []string
	for name := range c.Clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, s := range c.Servers {
		used[s.Cluster] = true
		if p := join(item(join(path, "servers"), i), "cluster"); s.Cluster != "" && !slices.Contains(names, s.Cluster) {
			k.fail(p, k.place(p), wrong{fmt.Sprintf("cluster: there is no %q under clusters", s.Cluster), near(s.Cluster, names)})
		}
	}
	for _, name := range names {
		if !used[name] {
			k.warnAt(join(join(path, "clusters"), name), "cluster %s has no servers", name)
		}
	}
}

func (k *checker) server(path string, t *Tunnel, s nhrp.Server) {
	if a, err := netip.ParseAddr(s.NBMA); err == nil {
		k.serverNBMA(join(path, "nbma"), t, a)
	}
	if s.Protocol.IsValid() {
		k.serverProtocol(join(path, "protocol"), t, s.Protocol)
	}
}

func (k *checker) serverNBMA(path string, t *Tunnel, a netip.Addr) {
	ours := func(p netip.Prefix) bool { return p.Addr() == a }
	p, owner, inside := k.inOverlay(a)
	switch {
	case a == t.UnderlayAddress || slices.ContainsFunc(k.conf.addresses(t.UnderlayInterface), ours) || k.own[a] != "":
		k.failAt(path, "nbma: %s is this router's own address: nobody is his own server", a)
	case inside:
		k.failAt(path, "nbma: %s lies in %s of tunnel %s: want the server's underlay address", a, p, owner)
	case a.Is6() != t.UnderlayIPv6:
		k.failAt(path, "nbma: %s is %s and the underlay of %s is not", a, family(a), t.Name)
	}
}

func (k *checker) serverProtocol(path string, t *Tunnel, a netip.Addr) {
	same := func(p netip.Prefix) bool { return p.Addr().Is6() == a.Is6() }
	host := func(p netip.Prefix) bool { return same(p) && p.IsSingleIP() }
	inside := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case len(t.Addresses) == 0:
	case k.own[a] != "":
		k.failAt(path, "protocol: %s is this router's own address: nobody is his own server", a)
	case !slices.ContainsFunc(t.Addresses, same):
		k.failAt(path, "protocol: %s is %s and tunnel %s has no such address", a, family(a), t.Name)
	case !slices.ContainsFunc(t.Addresses, inside) && !slices.ContainsFunc(t.Addresses, host):
		k.warnAt(path, "protocol: %s is outside the prefixes of tunnel %s: it needs a route", a, t.Name)
	}
}

func (c *Config) tunnel(name string) *Tunnel {
	i, ok := slices.BinarySearchFunc(c.Tunnels, name, func(t Tunnel, n string) int { return strings.Compare(t.Name, n) })
	if !ok {
		return nil
	}
	return &c.Tunnels[i]
}

func (c *Config) addresses(name string) []netip.Prefix {
	i, ok := slices.BinarySearchFunc(c.Interfaces, name, func(i Interface, n string) int { return strings.Compare(i.Name, n) })
	if !ok {
		return nil
	}
	return c.Interfaces[i].Addresses
}
