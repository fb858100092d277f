package conf

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// What is particular about single keys of the tables.

func freshInterface(name string) (Interface, error) {
	return Interface{Name: name}, checkInterface(name)
}

func freshTunnel(name string) (Tunnel, error) {
	if name == "lo" {
		return Tunnel{}, wrongf("%q is the host's loopback interface", name)
	}
	return Tunnel{Name: name, TTL: DefaultTTL, ClampMSS: true}, checkInterface(name)
}

func freshNHRP(tunnel string) *nhrp.Config {
	return &nhrp.Config{
		Tunnel:   tunnel,
		HoldTime: nhrp.DefaultHoldTime,
		Fallback: nhrp.DefaultFallback,
		Rate:     nhrp.DefaultRate,
	}
}

var nhrpShape = shape[Tunnel]{
	kind: "mapping",
	read: func(r *reader, n *node, path string, t *Tunnel) {
		t.NHRP = freshNHRP(t.Name)
		nhrpKeys.read(r, n, path, t)
		completeNHRP(r, n, path, t)
	},
	write: func(t *Tunnel) *node {
		if t.NHRP == nil {
			return nil
		}
		return nhrpKeys.write(t)
	},
	rows: nhrpKeys.rows,
}

// completeNHRP fills the defaults that hang on whether there are servers.
func completeNHRP(r *reader, n *node, path string, t *Tunnel) {
	hub := !r.has(join(path, "servers"))
	for key, v := range map[string]*bool{"redirect": &t.NHRP.Redirect, "multicast": &t.NHRP.Multicast} {
		if !r.has(join(path, key)) {
			*v = hub
		}
	}
	if !r.has(join(path, "shortcut")) {
		t.NHRP.Shortcut = !hub
	}
	if m := find(n.pairs, "multicast"); m != nil && m.text == "none" && !hub {
		r.fail(join(path, "multicast"), m.at, wrong{"multicast: none with servers: it always goes to the servers", "servers"})
	}
}

// completeUnderlay finds the family of the underlay where it is not written.
func completeUnderlay(r *reader, path string, t *Tunnel) {
	if r.has(join(path, "underlay-family")) {
		return
	}
	if t.UnderlayAddress.IsValid() {
		t.UnderlayIPv6 = t.UnderlayAddress.Is6()
		return
	}
	if t.NHRP == nil {
		return
	}
	for _, s := range t.NHRP.Servers {
		if a, err := netip.ParseAddr(s.NBMA); err == nil {
			t.UnderlayIPv6 = a.Is6()
			return
		}
	}
}

// encapsulations of a protected tunnel; one in clear has the last two.
var encapsulations = []string{"auto", "esp", "udp", "gre"}

// setEncapsulation keeps the word: what it means hangs on whether the tunnel is protected.
func setEncapsulation(t *Tunnel, n *node) error {
	if !slices.Contains(encapsulations, n.text) || n.kind != text {
		return wrong{"want " + either(encapsulations), near(n.text, encapsulations)}
	}
	t.encapsulation = n.text
	return nil
}

func getEncapsulation(t *Tunnel) string {
	if t.Encapsulation == dataplane.ESP {
		return t.Carrier.String()
	}
	return t.Encapsulation.String()
}

func setGuard(t *Tunnel, n *node) error {
	i := slices.Index(guardWords, n.text)
	if i < 0 || n.kind != text {
		return wrong{"want " + either(guardWords), near(n.text, guardWords)}
	}
	t.Guard = Guard(i)
	return nil
}

func getGuard(t *Tunnel) string {
	if t.Protect == "" {
		return ""
	}
	return guardWords[t.Guard]
}

// completeProtection finds what the encapsulation means and how much room protection takes.
func completeProtection(r *reader, path string, t *Tunnel, p *Profile) {
	word := t.encapsulation
	t.encapsulation = ""
	if !r.has(join(path, "protect")) {
		if at := join(path, "guard"); r.has(at) && !r.bad[at] {
			r.failAt(join(path, "guard"), "guard: what a tunnel in clear leads to is not kept from leaving in clear: add protect, or remove guard")
		}
		t.Encapsulation = map[string]dataplane.Encapsulation{"udp": dataplane.GREUDP}[word]
		if word == "auto" || word == "esp" {
			r.failAt(join(path, "encapsulation"), "encapsulation: %s is of protected tunnels: add protect, or want gre or udp", word)
		}
		return
	}
	t.Encapsulation = dataplane.ESP
	if t.NHRP != nil {
		t.NHRP.Profile = t.Protect
	}
	t.Carrier = map[string]ike.Encapsulation{"udp": ike.UDP, "esp": ike.Raw, "gre": ike.Raw}[word]
	if p != nil {
		t.Wrap = p.wrap(t.UnderlayIPv6)
	}
}

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$`)

// checkInterface is what the kernel takes (dev_valid_name), without what would surprise a shell.
func checkInterface(s string) error {
	switch {
	case len(s) > 15:
		return wrongf("%q is longer than the 15 characters of an interface name", show(s))
	case !interfaceName.MatchString(s):
		return wrongf("%q is no interface name: want letters, digits, '_', '.', '@' and '-'", show(s))
	case s == "all" || s == "default":
		return wrongf("%q means every interface to the kernel", s)
	}
	return nil
}

var (
	nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$`)
	plainKey = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
	dnsLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	digits   = regexp.MustCompile(`^[0-9]+$`)
)

func checkNode(s string) error {
	if !nodeName.MatchString(s) {
		return wrongf("%q is no name: want 1 to 63 letters, digits, '_', '.' and '-'", show(s))
	}
	return nil
}

func checkName(s string) error {
	if !plainKey.MatchString(s) {
		return wrongf("%q is no name: want 1 to 63 letters, digits, '_', '.' and '-'", show(s))
	}
	return nil
}

// checkNBMA accepts an address or a DNS name.
func checkNBMA(s string) error {
	if a, err := netip.ParseAddr(s); err == nil {
		return unicast(a)
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	bad := func(l string) bool { return !dnsLabel.MatchString(l) }
	if len(s) > 253 || slices.ContainsFunc(labels, bad) || digits.MatchString(labels[len(labels)-1]) {
		return wrongf("%q is neither an address nor a DNS name", show(s))
	}
	return nil
}

func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return wrong{"want address:port", suggestListen(s)}
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
		return wrongf("%q is no port: want 1 to 65535", show(port))
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return wrongf("%q is no address", show(host))
	}
	return nil
}

func suggestListen(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 9273).String()
	}
	return ""
}

func parsePeer(n *node) (string, error) {
	return parseWord(n, func(s string) error {
		if _, err := netip.ParseAddr(s); err == nil {
			return nil
		}
		return checkInterface(s)
	})
}

func parseVRF(n *node) (string, error) {
	s, err := parseWord(n, checkName)
	if err == nil && s != "default" {
		return "", wrong{"routing tables other than default are not supported yet", "default"}
	}
	return "", err
}

func setVRF(t *Tunnel, n *node) (err error) {
	t.VRF, err = parseVRF(n)
	return err
}

func setRouteVRF(r *Route, n *node) (err error) {
	r.VRF, err = parseVRF(n)
	return err
}

func setUnderlay(t *Tunnel, n *node) error {
	s, err := parseWord(n, func(string) error { return nil })
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Is6() && a.IsLinkLocalUnicast() {
			return wrongf("%s means nothing without its interface: give the interface", a)
		}
		t.UnderlayAddress = a
		return unicast(a)
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return wrong{"want an address without a prefix length", p.Addr().String()}
	}
	t.UnderlayInterface = s
	return checkInterface(s)
}

func getUnderlay(t *Tunnel) string {
	if t.UnderlayAddress.IsValid() {
		return t.UnderlayAddress.String()
	}
	return t.UnderlayInterface
}

func setKey(t *Tunnel, n *node) error {
	v, err := parseCount(n, 0, 1<<32-1)
	t.Key.Value, t.Key.Set = uint32(v), err == nil
	return err
}

func getKey(t *Tunnel) string {
	if !t.Key.Set {
		return ""
	}
	return strconv.FormatUint(uint64(t.Key.Value), 10)
}

var multicasts = []string{"dynamic", "servers", "none"}

func setMulticast(t *Tunnel, n *node) error {
	if !slices.Contains(multicasts, n.text) || n.kind != text {
		return wrong{"want " + either(multicasts), near(n.text, multicasts)}
	}
	t.NHRP.Multicast = n.text == "dynamic"
	return nil
}

func getMulticast(t *Tunnel) string {
	switch {
	case t.NHRP.Multicast:
		return "dynamic"
	case len(t.NHRP.Servers) > 0:
		return "servers"
	}
	return "none"
}

var (
	password     = secretHere(fmt.Sprintf("1 to %d characters", nhrp.MaxPassword), passwordAt, checkPassword)
	passwordFile = secretFile(passwordAt, checkPassword)
)

func passwordAt(t *Tunnel) (secret, file *string) {
	return &t.NHRP.Authentication, &t.AuthenticationFile
}

// checkPassword never quotes what it refuses.
func checkPassword(s string) error {
	if len(s) > nhrp.MaxPassword {
		return wrongf("the password has %d octets: want 1 to %d, as Cisco's has", len(s), nhrp.MaxPassword)
	}
	return nil
}

// cluster is a nhrp.Cluster with its name, which the map of the configuration has as its key.
type cluster struct {
	name string
	nhrp.Cluster
}

var clusterList = named(clusterKeys,
	func(l *[]cluster) *[]cluster { return l },
	func(c *cluster) *string { return &c.name },
	func(name string) (cluster, error) { return cluster{name: name}, checkName(name) })

var clustersShape = shape[Tunnel]{
	kind: clusterList.kind,
	read: func(r *reader, n *node, path string, t *Tunnel) {
		var l []cluster
		clusterList.read(r, n, path, &l)
		t.NHRP.Clusters = map[string]nhrp.Cluster{}
		for _, c := range l {
			t.NHRP.Clusters[c.name] = c.Cluster
		}
	},
	write: func(t *Tunnel) *node {
		var l []cluster
		for _, name := range slices.Sorted(maps.Keys(t.NHRP.Clusters)) {
			l = append(l, cluster{name, t.NHRP.Clusters[name]})
		}
		return clusterList.write(&l)
	},
	rows: clusterList.rows,
}

func routeLabel(r *Route) string {
	switch {
	case r.Blackhole:
		return r.To.String() + " blackhole"
	case r.Reject:
		return r.To.String() + " reject"
	case r.Via.IsValid():
		return r.To.String() + " via " + r.Via.String()
	}
	return r.To.String() + " " + r.Interface
}
