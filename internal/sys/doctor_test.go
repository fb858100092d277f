package sys

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// healthy is a host with which nothing is wrong; the cases break one thing each.
func healthy() *patient {
	settings := map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0", "ipv6/conf/all/forwarding": "1",
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/eth0/rp_filter": "2", "ipv6/conf/eth0/accept_ra": "2",
	}
	return &patient{
		in: DoctorInput{Forwarding: true, Tunnels: []DoctorTunnel{{
			Name: "tun0", UnderlayInterface: "eth0", Overhead: 28, MTU: 1400, Servers: []string{"192.0.2.9"},
			Addresses: []netip.Prefix{prefix("10.0.0.1/24"), prefix("fd00::1/64")},
		}}},
		links: []iface{{
			linkMsg: linkMsg{index: 2, name: "eth0", admin: true, running: true, mtu: 1500},
			addrs:   []addrMsg{{index: 2, prefix: prefix("192.0.2.1/24")}},
		}, {linkMsg: linkMsg{index: 3, name: "tun0", admin: true, running: true, mtu: 1400}, addrs: []addrMsg{{index: 3, prefix: prefix("10.0.0.1/24")}}}},
		sysctl:  func(path string) string { return settings[path] },
		command: func(string, ...string) (string, error) { return `{"nftables": []}`, nil },
		names:   func(s string) ([]netip.Addr, string) { return []netip.Addr{addr(s)}, "" },
		way:     func(netip.Addr) (int, error) { return 2, nil },
	}
}

func (h *patient) set(path, value string) {
	old := h.sysctl
	h.sysctl = func(p string) string {
		if p == path {
			return value
		}
		return old(p)
	}
}

// all is every check that does not look at this very machine.
func (h *patient) all() []Check {
	t := h.in.Tunnels[0]
	out := append(h.forwardingIPv6(), h.forwarding(), h.redirects(), h.underlay(t), h.reversePath(t), h.mtu(t), h.clash(t), h.module(), h.port(), h.rivals())
	for _, s := range t.Servers {
		out = append(out, h.server(t, s))
	}
	return append(out, h.firewall()...)
}

func TestDoctorFindsNothingOnAHealthyHost(t *testing.T) {
	for _, c := range healthy().all() {
		if c.Status != OK && c.Status != Skip {
			t.Errorf("%+v", c)
		}
	}
}

func TestDoctor(t *testing.T) {
	tests := []struct {
		name   string
		ill    func(h *patient)
		check  string
		status Status
		detail string
		remedy string
	}{
		{"not forwarding", func(h *patient) { h.set("ipv4/ip_forward", "0") }, "forwarding", Warn, "net.ipv4.ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1"},
		{"redirects", func(h *patient) { h.set("ipv4/conf/all/send_redirects", "1") }, "icmp redirects", Warn, "is 1", "sysctl -w"},
		{"not forwarding IPv6", func(h *patient) { h.set("ipv6/conf/all/forwarding", "0") }, "ipv6 forwarding", Warn, "is 0", "sysctl -w"},
		{"a default route by advertisement", func(h *patient) {
			h.set("ipv6/conf/eth0/accept_ra", "1")
			h.routes = []routeMsg{{prefix: prefix("::/0"), protocol: unix.RTPROT_RA, hops: []hop{{index: 2}}}}
		}, "router advertisements", Warn, "eth0", "accept_ra=2"},
		{"strict", func(h *patient) { h.set("ipv4/conf/eth0/rp_filter", "1") }, "tun0 rp_filter", Warn, "strict on eth0", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"},
		{"strict by all", func(h *patient) { h.set("ipv4/conf/eth0/rp_filter", "0"); h.set("ipv4/conf/all/rp_filter", "1") }, "tun0 rp_filter", Warn, "strict", "sysctl"},
		{"MTU too large", func(h *patient) { h.in.Tunnels[0].MTU = 1473 }, "tun0 mtu", Warn, "1473 is more than the 1472", "mtu: 1472"},
		{"no interface", func(h *patient) { h.in.Tunnels[0].UnderlayInterface = "eth9" }, "tun0 underlay", Fail, "eth9 does not exist", "ip -br link"},
		{"interface down", func(h *patient) { h.links[0].admin = false }, "tun0 underlay", Fail, "eth0 is down", "ip link set eth0 up"},
		{"no address", func(h *patient) { h.in.Tunnels[0].UnderlayIPv6 = true }, "tun0 underlay", Fail, "eth0 has no IPv6 address", "ip address add"},
		{"clash", func(h *patient) {
			h.links[0].addrs = append(h.links[0].addrs, addrMsg{index: 2, prefix: prefix("10.0.0.77/16")})
		}, "tun0 addresses", Fail, "overlaps with 10.0.0.77/16 of eth0", "ip address del"},
		{"no such name", func(h *patient) {
			h.names = func(string) ([]netip.Addr, string) { return nil, "resolve hub: no such name" }
		}, "tun0 server 192.0.2.9", Fail, "no such name", "getent"},
		{"no route", func(h *patient) { h.way = func(netip.Addr) (int, error) { return 0, unix.ENETUNREACH } }, "tun0 server 192.0.2.9", Fail, "network is unreachable", "ip route get 192.0.2.9"},
		{"the tunnel would carry itself", func(h *patient) { h.way = func(netip.Addr) (int, error) { return 3, nil } }, "tun0 server 192.0.2.9", Fail, "routed into tun0", "ip route add 192.0.2.9"},
		{"kernel GRE", func(h *patient) { h.modules = "veth 1 0\nip_gre 4 1 - Live 0x0\n" }, "gre module", Warn, "ip_gre is loaded", "rmmod ip_gre"},
		{"port taken", func(h *patient) {
			h.in.Tunnels[0].UDP, h.port4754 = true, fmt.Errorf("listen: %w", unix.EADDRINUSE)
		}, "udp port 4754", Fail, "another program", "ss -ulpn"},
		{"FRR's nhrpd", func(h *patient) { h.commands = []string{"init", "nhrpd"} }, "other daemons", Warn, "nhrpd runs too", "systemctl disable --now frr"},
		{"nftables drops GRE", func(h *patient) { h.command = nft(closedRuleset) }, "firewall gre", Warn, "chain inet filter input drops", "nft insert rule inet filter input meta l4proto gre accept"},
		{"nftables drops UDP", func(h *patient) { h.in.Tunnels[0].UDP, h.command = true, nft(closedRuleset) }, "firewall udp 4754", Warn, "drops", "udp dport 4754 accept"},
		{"iptables drops GRE", func(h *patient) {
			h.command = iptables("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n")
		}, "firewall gre", Warn, "INPUT drops", "iptables -I INPUT -p gre -j ACCEPT"},
		{"iptables accepts GRE", func(h *patient) {
			h.command = iptables("*filter\n:INPUT DROP [0:0]\n-A INPUT -p gre -j ACCEPT\nCOMMIT\n")
		}, "firewall gre", OK, "", ""},
		{"iptables accepts by default", func(h *patient) { h.command = iptables("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n") }, "firewall gre", OK, "", ""},
		{"no firewall tools", func(h *patient) {
			h.command = func(string, ...string) (string, error) { return "", errors.New("not found") }
		}, "firewall gre", Skip, "neither", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := healthy()
			tt.ill(h)
			for _, c := range h.all() {
				if c.Name != tt.check {
					continue
				}
				if c.Status != tt.status || !strings.Contains(c.Detail, tt.detail) || !strings.Contains(c.Remedy, tt.remedy) {
					t.Errorf("%+v, want %s %q %q", c, tt.status, tt.detail, tt.remedy)
				}
				return
			}
			t.Errorf("no check named %q", tt.check)
		})
	}
}

func nft(ruleset string) func(string, ...string) (string, error) {
	return func(name string, _ ...string) (string, error) {
		if name == "nft" {
			return ruleset, nil
		}
		return "", errors.New("not found")
	}
}

func iptables(saved string) func(string, ...string) (string, error) {
	return func(name string, _ ...string) (string, error) {
		if name == "iptables-save" {
			return saved, nil
		}
		return "", errors.New("not found")
	}
}

// closedRuleset is what `nft -j list ruleset` prints for a chain that lets SSH in and nothing else.
const closedRuleset = `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "filter"}},
{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 2, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}]}}]}`

// The same verdicts on rulesets as the installed nft really prints them.
func TestDoctorReadsRealRulesets(t *testing.T) {
	needNamespace(t)
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	if out, err := exec.Command("nft", "add table inet t; delete table inet t").CombinedOutput(); err != nil {
		t.Skipf("needs nftables in the kernel: %v %s", err, out)
	}
	tests := []struct {
		rules  string
		closed bool
	}{
		{"tcp dport 22 accept", true},
		{"tcp dport 22 accept; meta l4proto gre accept", false},
		{"ip protocol gre accept", false},
		{"ip protocol 47 accept", false},
		{"ct state established accept", true},
		{"accept", false},
	}
	for _, tt := range tests {
		conf := "table inet t {\nchain input {\ntype filter hook input priority 0; policy drop;\n" + tt.rules + "\n}\n}\n"
		if out, err := exec.Command("nft", conf).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", tt.rules, err, out)
		}
		out, err := run("nft", "-j", "list", "ruleset")
		if err != nil {
			t.Fatal(err)
		}
		if got := len(closedChains(out, []string{"gre", "47"})) > 0; got != tt.closed {
			t.Errorf("%s: closed %v, want %v\n%s", tt.rules, got, tt.closed, out)
		}
		_ = exec.Command("nft", "flush", "ruleset").Run()
	}
}

// The examination of this very machine: facts agree with what the test set up.
func TestExamine(t *testing.T) {
	pair(t, "sp0", "sp1", "192.0.2.1/24")
	checks := Doctor(DoctorInput{Forwarding: true, Tunnels: []DoctorTunnel{
		{Name: "tun0", UnderlayInterface: "sp0", Overhead: 24, Servers: []string{"192.0.2.9"}},
		{Name: "tun1", UnderlayInterface: "sp9", Servers: []string{"198.51.100.1"}},
	}})
	want := map[string]Status{
		"capabilities": OK, "tun0 underlay": OK, "tun0 mtu": OK, "tun0 addresses": OK, "tun0 server 192.0.2.9": OK,
		"tun1 underlay": Fail, "tun1 server 198.51.100.1": Fail,
	}
	for _, c := range checks {
		if s, ok := want[c.Name]; ok && s != c.Status {
			t.Errorf("%+v, want %s", c, s)
		}
		delete(want, c.Name)
		if (c.Status == Fail || c.Status == Warn) && c.Remedy == "" {
			t.Errorf("no remedy: %+v", c)
		}
	}
	if len(want) > 0 {
		t.Errorf("not checked: %v", want)
	}
}
