package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pair is a spokeway and an FRR in one network namespace.
type pair struct {
	*node
	zebra *guest
}

// beside starts FRR, without nhrpd, in a namespace of this machine's kernel, and a router of ours in the same.
func (s *scene) beside(p spec) pair {
	s.t.Helper()
	s.site(p.site)
	folder := filepath.Join(s.run, "frr", p.name)
	writeFiles(s, folder, map[string]string{
		"setup": lines(
			fmt.Sprintf("ip address add %s/24 dev eth0", nbma(p.site)),
			"ip link set eth0 up",
			fmt.Sprintf("ip route add 10.0.0.0/16 via %s", gateway(p.site)),
			"ip link add lan0 type veth peer name lan0-hosts",
			"ip link set lan0-hosts up",
			"ip link set lan0 up",
			fmt.Sprintf("ip address add %s/24 dev lan0", lanAddress(p.site))),
		"frr.conf": lines("frr defaults traditional", "hostname "+p.name, "ip route 203.0.113.0/24 Null0", p.ospfConfig()),
	})
	s.must("./peer", p.name, "--kernel", "host", "--netns", s.netns, "--nic", p.name+"@"+bridge, "--config", folder)
	zebra := &guest{s: s, spec: p}
	s.guests = append(s.guests, zebra)

	n := &node{s: s, spec: p, netns: s.netns + "-" + p.name, at: nbma(p.site), had: []string{nbma(p.site)}}
	pid, err := os.ReadFile(filepath.Join(s.run, p.name, "pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.note(n.netns)
	s.must("ip", "netns", "attach", n.netns, strings.TrimSpace(string(pid)))
	s.nodes = append(s.nodes, n)
	n.start()
	return pair{node: n, zebra: zebra}
}

// kernelRoute is what the kernel has for exactly this prefix.
func (n *node) kernelRoute(prefix string) string {
	n.s.t.Helper()
	return n.ip("route", "show", "exact", prefix)
}

// host is a namespace on a router's LAN.
type host struct {
	s     *scene
	netns string
}

// host puts a host, at .7, on the LAN of a router.
func (s *scene) host(name string, behind *node) *host {
	s.t.Helper()
	h := &host{s: s, netns: s.netns + "-" + name}
	s.space(h.netns)
	behind.ip("link", "set", "lan0-hosts", "netns", h.netns)
	s.ip(h.netns, "address", "add", strings.Replace(lan(behind.site), ".0/", ".7/", 1), "dev", "lan0-hosts")
	s.ip(h.netns, "link", "set", "lan0-hosts", "up")
	s.ip(h.netns, "route", "add", "default", "via", lanAddress(behind.site))
	return h
}

func (h *host) run(argv ...string) (string, error) {
	return h.s.try(append([]string{"ip", "netns", "exec", h.netns}, argv...)...)
}
