package sys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Status of a [Check].
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Check is one finding about the host. Remedy is a command, where something is to be done.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// DoctorInput is what a configuration wants of the host.
type DoctorInput struct {
	Forwarding bool
	Tunnels    []DoctorTunnel
	Running    bool // a daemon of ours runs: what it holds is not taken by others
	Daemon     int  // its process, where that is known
}

// DoctorTunnel is what the doctor needs to know of a tunnel.
type DoctorTunnel struct {
	Name              string
	UnderlayInterface string
	UnderlayAddress   netip.Addr
	UnderlayIPv6      bool
	Addresses         []netip.Prefix
	MTU               int // 0 = measured
	Overhead          int // octets; see dataplane.Overhead
	UDP               bool
	Protected         bool
	Servers           []string // addresses or names
}

// Doctor looks whether this host is fit for what is asked of it. It changes nothing and sends nothing, DNS excepted.
func Doctor(in DoctorInput) []Check {
	h, err := examine(in)
	checks := []Check{checkTUN(), checkCapabilities(), h.forwarding(), h.redirects()}
	if err != nil {
		return append(checks, Check{"netlink", Fail, err.Error(), ""})
	}
	checks = append(checks, h.forwardingIPv6()...)
	for _, t := range in.Tunnels {
		checks = append(checks, h.underlay(t), h.reversePath(t), h.mtu(t), h.clash(t))
		for _, s := range t.Servers {
			checks = append(checks, h.server(t, s))
		}
	}
	checks = append(checks, h.firewall()...)
	return append(checks, h.module(), h.port(), h.portsIKE(), h.rivals(), checkConfinement(in.Daemon, h.status))
}

// patient is a host under examination: facts first, then verdicts, which tests give facts of their own.
type patient struct {
	in       DoctorInput
	links    []iface
	routes   []routeMsg
	sysctl   func(path string) string
	command  func(name string, args ...string) (string, error)
	names    func(name string) ([]netip.Addr, string)
	way      func(to netip.Addr) (index int, err error)
	modules  string   // /proc/modules
	commands []string // of the processes
	port4754 error    // of taking it
	ikePorts error    // of taking 500 and 4500
	status   string   // /proc/PID/status of the daemon
}

func examine(in DoctorInput) (*patient, error) {
	h := &patient{in: in, sysctl: readSysctl, command: run, names: lookup, way: routeTo}
	modules, _ := os.ReadFile("/proc/modules")
	h.modules, h.commands, h.port4754 = string(modules), processes(), takePort(4754)
	h.ikePorts = cmp.Or(takePort(500), takePort(4500))
	if in.Daemon != 0 {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.Daemon))
		h.status = string(status)
	}
	c, err := dial(ackBuffer)
	if err != nil {
		return h, err
	}
	defer c.close()
	w := watcher{view: newView(), asks: c}
	links, addrs, err := w.dumpLinks()
	if err != nil {
		return h, fmt.Errorf("read the interfaces: %w", err)
	}
	w.view.replaceLinks(links, addrs)
	for _, i := range w.view.links {
		h.links = append(h.links, i.clone())
	}
	slices.SortFunc(h.links, func(a, b iface) int { return a.index - b.index })
	return h, h.readRoutes(c)
}

func (h *patient) readRoutes(c *conn) (err error) {
	h.routes, err = c.dumpRoutes()
	return err
}

func checkTUN() Check {
	const name = "tun device"
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		return Check{name, OK, "/dev/net/tun can be opened", ""}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Check{name, Fail, "there is no /dev/net/tun", "modprobe tun; in a container, pass --device /dev/net/tun"}
	case errors.Is(err, os.ErrPermission):
		return Check{name, Fail, "may not open /dev/net/tun", "sudo chmod 0666 /dev/net/tun"}
	}
	return Check{name, Fail, err.Error(), "modprobe tun"}
}

func checkCapabilities() Check {
	const name = "capabilities"
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return Check{name, Skip, "cannot be read: " + err.Error(), ""}
	}
	has := func(bit uint) bool { return data[bit/32].Effective&(1<<(bit%32)) != 0 }
	var missing []string
	for word, bit := range map[string]uint{"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW} {
		if !has(bit) {
			missing = append(missing, word)
		}
	}
	const remedy = "run as root, or: setcap cap_net_admin,cap_net_raw,cap_net_bind_service,cap_bpf+ep $(command -v spokeway)"
	switch slices.Sort(missing); {
	case len(missing) > 0:
		return Check{name, Fail, "missing: " + strings.Join(missing, ", "), remedy}
	case !has(unix.CAP_BPF) && !has(unix.CAP_SYS_ADMIN):
		return Check{name, Warn, "missing: CAP_BPF: BFD and OSPF wait behind bulk on their way into a tunnel", remedy}
	}
	return Check{name, OK, "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF", ""}
}

// setting judges a sysctl that has to have a value. The daemon sets those itself where it may, hence a warning at
// most.
func (h *patient) setting(name, path, want, why string) Check {
	got, key := h.sysctl(path), "net."+strings.ReplaceAll(path, "/", ".")
	switch got {
	case "":
		return Check{name, Skip, key + " cannot be read", ""}
	case want:
		return Check{name, OK, key + " is " + want, ""}
	}
	return Check{name, Warn, fmt.Sprintf("%s is %s: %s", key, got, why), fmt.Sprintf("sysctl -w %s=%s", key, want)}
}

func (h *patient) forwarding() Check {
	if !h.in.Forwarding {
		return Check{"forwarding", Skip, "not asked for", ""}
	}
	return h.setting("forwarding", "ipv4/ip_forward", "1", "nothing behind this host is reachable (run sets it)")
}

func (h *patient) redirects() Check {
	return h.setting("icmp redirects", "ipv4/conf/all/send_redirects", "0", "the kernel may tell hosts of ways that do not exist (run sets it)")
}

// forwardingIPv6 looks at the setting where a tunnel carries IPv6, and at the default route it would cost.
func (h *patient) forwardingIPv6() (out []Check) {
	v6 := func(t DoctorTunnel) bool {
		return slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	if !h.in.Forwarding || !slices.ContainsFunc(h.in.Tunnels, v6) {
		return nil
	}
	out = append(out, h.setting("ipv6 forwarding", "ipv6/conf/all/forwarding", "1", "no IPv6 host behind this one is reachable (run sets it)"))
	for _, i := range h.links {
		if h.sysctl("ipv6/conf/"+i.name+"/accept_ra") == "1" && h.sysctl("ipv6/conf/all/forwarding") == "1" && h.byAdvertisement(i.index) {
			out = append(out, Check{"router advertisements", Warn,
				i.name + " has its IPv6 default route from an advertisement, and as a router will not take the next",
				"sysctl -w net.ipv6.conf." + i.name + ".accept_ra=2"})
		}
	}
	return out
}

func (h *patient) byAdvertisement(index int) bool {
	return slices.ContainsFunc(h.routes, func(r routeMsg) bool {
		return r.prefix.Bits() == 0 && r.protocol == unix.RTPROT_RA && r.hops != nil && r.hops[0].index == index
	})
}

func (h *patient) link(t DoctorTunnel) (iface, bool) {
	i := slices.IndexFunc(h.links, func(i iface) bool {
		return t.UnderlayInterface != "" && i.name == t.UnderlayInterface || t.UnderlayAddress.IsValid() && i.link().HasAddress(t.UnderlayAddress)
	})
	if i < 0 {
		return iface{}, false
	}
	return h.links[i], true
}

func (h *patient) underlay(t DoctorTunnel) Check {
	name := t.Name + " underlay"
	i, ok := h.link(t)
	switch {
	case !ok && t.UnderlayAddress.IsValid():
		return Check{name, Fail, fmt.Sprintf("no interface has %s", t.UnderlayAddress), "ip -br address"}
	case !ok:
		return Check{name, Fail, t.UnderlayInterface + " does not exist", "ip -br link"}
	case !i.admin:
		return Check{name, Fail, i.name + " is down", "ip link set " + i.name + " up"}
	case !i.running:
		return Check{name, Fail, i.name + " has no carrier", "ethtool " + i.name}
	}
	for _, p := range i.link().Addresses {
		if a := p.Addr(); a == t.UnderlayAddress || !t.UnderlayAddress.IsValid() && a.Is6() == t.UnderlayIPv6 && a.IsGlobalUnicast() {
			return Check{name, OK, fmt.Sprintf("%s is up with %s", i.name, a), ""}
		}
	}
	family := "IPv4"
	if t.UnderlayIPv6 {
		family = "IPv6"
	}
	return Check{name, Fail, fmt.Sprintf("%s has no %s address", i.name, family), "ip address add ADDRESS/LENGTH dev " + i.name}
}

// reversePath: Linux applies the stricter of all and the interface. Strict drops what comes in by another
// interface than an answer would leave by, as with two providers.
func (h *patient) reversePath(t DoctorTunnel) Check {
	name := t.Name + " rp_filter"
	i, ok := h.link(t)
	if !ok {
		return Check{name, Skip, "no underlay interface", ""}
	}
	all, own := h.sysctl("ipv4/conf/all/rp_filter"), h.sysctl("ipv4/conf/"+i.name+"/rp_filter")
	if max(all, own) != "1" {
		return Check{name, OK, fmt.Sprintf("not strict on %s", i.name), ""}
	}
	return Check{name, Warn, fmt.Sprintf("strict on %s: packets of peers whose route leaves by another interface are dropped", i.name),
		fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2", i.name)}
}

func (h *patient) mtu(t DoctorTunnel) Check {
	name := t.Name + " mtu"
	i, ok := h.link(t)
	if !ok {
		return Check{name, Skip, "no underlay interface", ""}
	}
	fits := i.mtu - t.Overhead
	switch {
	case t.MTU == 0:
		return Check{name, OK, fmt.Sprintf("%d, measured from %s", fits, i.name), ""}
	case t.MTU > fits:
		return Check{name, Warn, fmt.Sprintf("%d is more than the %d that fit into %s (mtu %d): packets will be fragmented", t.MTU, fits, i.name, i.mtu),
			fmt.Sprintf("set mtu: %d on %s, or leave it out", fits, t.Name)}
	}
	return Check{name, OK, fmt.Sprintf("%d fits into %s (mtu %d)", t.MTU, i.name, i.mtu), ""}
}

// clash finds addresses of other interfaces that overlap with the tunnel's.
func (h *patient) clash(t DoctorTunnel) Check {
	name := t.Name + " addresses"
	for _, i := range h.links {
		if i.name == t.Name {
			continue
		}
		for _, p := range i.link().Addresses {
			for _, q := range t.Addresses {
				if p.Overlaps(q) {
					return Check{name, Fail, fmt.Sprintf("%s overlaps with %s of %s", q, p, i.name),
						fmt.Sprintf("ip address del %s dev %s, or choose another prefix for %s", p, i.name, t.Name)}
				}
			}
		}
	}
	return Check{name, OK, "no other interface has them", ""}
}

// server looks whether the underlay leads to a server, and not through a tunnel of ours.
func (h *patient) server(t DoctorTunnel, server string) Check {
	name := t.Name + " server " + server
	addrs, problem := h.names(server)
	if problem != "" {
		return Check{name, Fail, problem, "getent ahosts " + server}
	}
	v6 := t.UnderlayIPv6 || t.UnderlayAddress.Is6()
	at := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is6() == v6 })
	if at < 0 {
		return Check{name, Fail, fmt.Sprintf("has no address of the underlay's family: %v", addrs), "getent ahosts " + server}
	}
	to := addrs[at]
	index, err := h.way(to)
	if err != nil {
		return Check{name, Fail, fmt.Sprintf("no route to %s: %v", to, err), "ip route get " + to.String()}
	}
	out := "an unknown interface"
	if i := slices.IndexFunc(h.links, func(i iface) bool { return i.index == index }); i >= 0 {
		out = h.links[i].name
	}
	if slices.ContainsFunc(h.in.Tunnels, func(t DoctorTunnel) bool { return t.Name == out }) {
		return Check{name, Fail, fmt.Sprintf("%s is routed into %s: the tunnel would carry itself", to, out),
			fmt.Sprintf("ip route add %s via GATEWAY dev UNDERLAY", to)}
	}
	return Check{name, OK, fmt.Sprintf("%s by %s", to, out), ""}
}

// module: with ip_gre loaded the kernel has a GRE receiver of its own. Raw sockets get their copy all the same, but
// for what belongs to no interface of the kernel's it answers with an ICMP error.
func (h *patient) module() Check {
	const name = "gre module"
	for line := range strings.Lines(h.modules) {
		if word, _, _ := strings.Cut(line, " "); word == "ip_gre" || word == "ip6_gre" {
			return Check{name, Warn, word + " is loaded: the kernel answers packets of our tunnels with ICMP port unreachable", "rmmod " + word}
		}
	}
	return Check{name, OK, "the kernel's own GRE is not loaded", ""}
}

func (h *patient) port() Check {
	const name = "udp port 4754"
	if !slices.ContainsFunc(h.in.Tunnels, func(t DoctorTunnel) bool { return t.UDP }) {
		return Check{name, Skip, "no tunnel uses encapsulation: udp", ""}
	}
	switch {
	case h.port4754 == nil:
		return Check{name, OK, "free", ""}
	case h.in.Running:
		return Check{name, OK, "taken, by the running daemon", ""}
	case errors.Is(h.port4754, unix.EADDRINUSE):
		return Check{name, Fail, "another program has it", "ss -ulpn sport = :4754"}
	}
	return Check{name, Warn, "cannot be tried: " + h.port4754.Error(), ""}
}

// portsIKE looks whether IKE can have its ports, RFC 7296 section 2.
func (h *patient) portsIKE() Check {
	const name = "udp ports 500 and 4500"
	if !slices.ContainsFunc(h.in.Tunnels, func(t DoctorTunnel) bool { return t.Protected }) {
		return Check{name, Skip, "no tunnel is protected", ""}
	}
	switch {
	case h.ikePorts == nil:
		return Check{name, OK, "free", ""}
	case errors.Is(h.ikePorts, unix.EADDRINUSE) && h.in.Running:
		return Check{name, OK, "taken, by the running daemon", ""}
	case errors.Is(h.ikePorts, unix.EADDRINUSE):
		return Check{name, Fail, "another program has one of them, an IKE daemon perhaps", "ss -ulpn '( sport = :500 or sport = :4500 )'"}
	case errors.Is(h.ikePorts, unix.EACCES):
		return Check{name, Fail, "may not be opened: CAP_NET_BIND_SERVICE is missing", "run as root, or: setcap cap_net_admin,cap_net_raw,cap_net_bind_service+ep $(command -v spokeway)"}
	}
	return Check{name, Warn, "cannot be tried: " + h.ikePorts.Error(), ""}
}

// rivals are other programs that speak NHRP on this host.
func (h *patient) rivals() Check {
	const name = "other daemons"
	for _, c := range h.commands {
		if c == "nhrpd" || c == "opennhrp" {
			return Check{name, Warn, c + " runs too: two of them cannot serve one tunnel", "systemctl disable --now " + map[string]string{"nhrpd": "frr", "opennhrp": "opennhrp"}[c]}
		}
	}
	return Check{name, OK, "no other NHRP daemon runs", ""}
}

// The facts.

// run runs a program of the host for its output, and not for long.
func run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}

func lookup(name string) ([]netip.Addr, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	defer cancel()
	r := newResolver().resolve(ctx, name)
	return r.Addrs, r.Err
}

// processes are the names of what runs.
func processes() (names []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if b, err := os.ReadFile("/proc/" + e.Name() + "/comm"); err == nil {
			names = append(names, strings.TrimSpace(string(b)))
		}
	}
	return names
}
