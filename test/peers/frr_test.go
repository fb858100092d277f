package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// guest is an FRR router with a kernel of its own.
type guest struct {
	s *scene
	spec
}

// boot starts FRR routers side by side and returns when all are configured.
func (s *scene) boot(specs ...spec) []*guest {
	s.t.Helper()
	made := make([]*guest, len(specs))
	errs := make([]error, len(specs))
	var jobs []func()
	for i, p := range specs {
		netns, port := s.attach(p)
		made[i] = &guest{s: s, spec: p}
		folder := filepath.Join(s.run, "frr", p.name)
		writeFiles(s, folder, made[i].files())
		jobs = append(jobs, func() {
			_, errs[i] = s.try("./peer", p.name, "--netns", netns, "--nic", p.name+"@"+port, "--config", folder)
		})
	}
	atOnce(jobs...)
	for _, err := range errs {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.guests = append(s.guests, made...)
	for _, g := range made {
		g.register()
	}
	return made
}

// files are a guest's configuration.
func (g *guest) files() map[string]string {
	files := map[string]string{"setup": g.frrSetup(), "frr.conf": g.frrConfig()}
	switch {
	case g.libreswan:
		maps.Copy(files, g.libreswanFiles())
	case len(g.partners) > 0:
		maps.Copy(files, g.strongSwanFiles())
	}
	return files
}

// register names the hubs to nhrpd, once it knows its own NBMA address: told before, it may wait for two minutes.
func (g *guest) register() {
	g.s.t.Helper()
	g.s.within(20*time.Second, g.name+" knows itself", has(g.cache, cacheRow("local", g.address(), g.underlay(), "")))
	if g.isHub() {
		return
	}
	commands := []string{"interface " + tunnelName}
	for _, hub := range g.servers {
		commands = append(commands, "ip nhrp nhs dynamic nbma "+nbma(hub.site))
		if g.ipv6 {
			commands = append(commands, "ipv6 nhrp nhs dynamic nbma "+nbma(hub.site))
		}
	}
	g.configure(commands...)
}

func writeFiles(s *scene, folder string, files map[string]string) {
	s.t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// frrSetup is what a router's kernel needs for nhrpd: addresses, GRE, and on a hub the rule by which nhrpd sees what
// goes back into the tunnel it came from.
func (p spec) frrSetup() string {
	setup := []string{
		fmt.Sprintf("ip address add %s/24 dev eth0", p.underlay()),
		"ip link set eth0 up",
		fmt.Sprintf("ip route add 10.0.0.0/16 via %s", p.gateway()),
		"ip link add lan0 type dummy",
		"ip link set lan0 up",
		fmt.Sprintf("ip address add %s/24 dev lan0", lanAddress(p.site)),
		fmt.Sprintf("ip link add %s type gre local %s key 42 ttl 64", tunnelName, p.underlay()),
		// No link-local address: one that is no host prefix keeps nhrpd from using the others of IPv6.
		fmt.Sprintf("ip link set %s addrgenmode none", tunnelName),
		fmt.Sprintf("ip link set %s mtu 1400 multicast on up", tunnelName),
		fmt.Sprintf("ip address add %s/32 dev %s", p.address(), tunnelName),
	}
	if len(p.partners) > 0 { // what no SA protects stays here
		setup = append(setup,
			"iptables-legacy -A OUTPUT -p gre -m policy --dir out --pol none -j DROP",
			"iptables-legacy -A INPUT -p gre -m policy --dir in --pol none -j DROP")
	}
	if p.isHub() {
		setup = append(setup,
			fmt.Sprintf("sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.%s.send_redirects=0", tunnelName),
			fmt.Sprintf("iptables-legacy -A FORWARD -i %[1]s -o %[1]s -m hashlimit --hashlimit-upto 1/second --hashlimit-burst 1 "+
				"--hashlimit-mode srcip,dstip --hashlimit-srcmask 24 --hashlimit-dstmask 24 --hashlimit-name redirect "+
				"-j NFLOG --nflog-group 1 --nflog-size 128", tunnelName))
	}
	if p.ipv6 {
		setup = append(setup,
			fmt.Sprintf("ip address add %s/64 dev lan0 nodad", lanAddress6(p.site)),
			fmt.Sprintf("ip address add %s/128 dev %s nodad", tunnelAddress6(p.site), tunnelName),
			fmt.Sprintf("ip6tables-legacy -A FORWARD -i %[1]s -o %[1]s -j NFLOG --nflog-group 1 --nflog-size 128", tunnelName))
	}
	if p.ospf { // nhrpd copies multicast to its peers; the kernel cannot
		setup = append(setup,
			"iptables-legacy -A OUTPUT -d 224.0.0.0/24 -o "+tunnelName+" -j NFLOG --nflog-group 2",
			"iptables-legacy -A OUTPUT -d 224.0.0.0/24 -o "+tunnelName+" -j DROP")
	}
	return lines(setup...)
}

func (p spec) frrConfig() string {
	conf := []string{
		"frr defaults traditional",
		"hostname " + p.name,
		"debug nhrp common",
		"nhrp nflog-group 1",
		"interface " + tunnelName,
		" ip nhrp network-id 42",
		fmt.Sprintf(" ip nhrp holdtime %d", holdTime),
		" ip nhrp registration no-unique",
		" ip nhrp shortcut",
	}
	if p.password != "" {
		conf = append(conf, " ip nhrp authentication "+p.password)
	}
	if p.isHub() {
		conf = append(conf, " ip nhrp redirect")
	}
	if p.ipv6 {
		conf = append(conf, p.nhrp6()...)
	}
	if p.ospf {
		conf = append(conf, p.multicastMap(), " tunnel source eth0", p.ospfConfig(), "nhrp multicast-nflog-group 2")
	} else {
		conf = append(conf, " tunnel source eth0", "exit")
	}
	for _, r := range append(p.overlay(), p.waysBack()...) {
		family := "ip"
		if strings.Contains(r.to, ":") {
			family = "ipv6"
		}
		conf = append(conf, family+" route "+r.frr())
	}
	return lines(conf...)
}

// nhrp6 is NHRP for IPv6 in the tunnel, as that for IPv4.
func (p spec) nhrp6() []string {
	conf := []string{
		" ipv6 nhrp network-id 42",
		fmt.Sprintf(" ipv6 nhrp holdtime %d", holdTime),
		" ipv6 nhrp registration no-unique",
		" ipv6 nhrp shortcut",
	}
	if p.isHub() {
		conf = append(conf, " ipv6 nhrp redirect")
	}
	return conf
}

func (p spec) multicastMap() string {
	if p.isHub() {
		return " ip nhrp map multicast dynamic"
	}
	var maps []string
	for _, hub := range p.servers {
		maps = append(maps, " ip nhrp map multicast "+nbma(hub.site))
	}
	return strings.Join(maps, "\n")
}

// ospfConfig is OSPF on tunnel and LAN, in the timing of a test.
func (p spec) ospfConfig() string {
	return lines(
		"interface "+tunnelName,
		" ip ospf network point-to-multipoint",
		" ip ospf hello-interval 1",
		" ip ospf dead-interval 8",
		" ip ospf area 0",
		"interface lan0",
		" ip ospf passive",
		" ip ospf area 0",
		"router ospf",
		" ospf router-id "+p.address(),
		"exit")
}

// waysBack are routes by the hubs to all tunnel addresses: nhrpd answers nobody to whose tunnel address it has no route,
// not even by the way the request came.
func (p spec) waysBack() []route {
	var all []route
	if p.ospf {
		return nil
	}
	for i, hub := range p.servers {
		all = append(all, route{to: "10.255.255.0/24", via: tunnelAddress(hub.site), distance: 250 + i})
		if p.ipv6 {
			all = append(all, route{to: "fd00:255::/64", via: tunnelAddress6(hub.site), distance: 250 + i})
		}
	}
	return all
}

func (r route) frr() string {
	words := []string{r.to, r.via}
	if r.iface {
		words = append(words, tunnelName)
	}
	if r.withDistance() {
		words = append(words, fmt.Sprint(r.distance))
	}
	return strings.Join(words, " ")
}

// run runs a command on the router.
func (g *guest) run(argv ...string) (string, error) {
	return g.s.try(append([]string{"./peer-exec", g.name}, argv...)...)
}

func (g *guest) must(argv ...string) string {
	g.s.t.Helper()
	out, err := g.run(argv...)
	if err != nil {
		g.s.t.Fatal(err)
	}
	return out
}

// configure changes the running configuration of the tunnel interface, or with an empty one of FRR itself.
func (g *guest) configure(commands ...string) {
	g.s.t.Helper()
	argv := []string{"vtysh", "-c", "configure terminal"}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	g.must(argv...)
}

// json asks FRR.
func (g *guest) json(into any, command string) error {
	out, err := g.run("vtysh", "-c", command+" json")
	if err != nil {
		return err
	}
	// A line of complaint may stand before it.
	text := []byte(out)
	if i := bytes.IndexByte(text, '{'); i > 0 {
		text = text[i:]
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", g.name, command, err, out)
	}
	return nil
}

// cache is rows of "TYPE PROTOCOL NBMA", and the claimed NBMA address where it is another.
func (g *guest) cache() ([]string, error) { return g.cacheOf("ip") }

func (g *guest) cache6() ([]string, error) { return g.cacheOf("ipv6") }

func (g *guest) cacheOf(family string) ([]string, error) {
	var answer struct {
		Table []struct {
			Type, Protocol, NBMA string
			Claimed              string `json:"claimed_nbma"`
		}
	}
	if err := g.json(&answer, "show "+family+" nhrp cache"); err != nil {
		return nil, err
	}
	var rows []string
	for _, r := range answer.Table {
		rows = append(rows, cacheRow(r.Type, r.Protocol, r.NBMA, r.Claimed))
	}
	return rows, nil
}

// shortcuts is rows of "TYPE PREFIX VIA".
func (g *guest) shortcuts() ([]string, error) { return g.shortcutsOf("ip") }

func (g *guest) shortcuts6() ([]string, error) { return g.shortcutsOf("ipv6") }

func (g *guest) shortcutsOf(family string) ([]string, error) {
	var answer struct {
		Table []struct{ Type, Prefix, Via string }
	}
	if err := g.json(&answer, "show "+family+" nhrp shortcut"); err != nil {
		return nil, err
	}
	var rows []string
	for _, r := range answer.Table {
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Type, r.Prefix, r.Via)))
	}
	return rows, nil
}

// routes is rows of "PREFIX PROTOCOL DISTANCE VIA", those of a protocol that the kernel has.
func (g *guest) nhrpRoutes() ([]string, error) {
	var answer map[string][]struct {
		Prefix, Protocol string
		Distance         int
		Installed        bool
		NextHops         []struct {
			IP            string
			InterfaceName string
		}
	}
	if err := g.json(&answer, "show ip route nhrp"); err != nil {
		return nil, err
	}
	var rows []string
	for _, offers := range answer {
		for _, r := range offers {
			for _, hop := range r.NextHops {
				if r.Installed {
					rows = append(rows, routeRow(r.Prefix, r.Protocol, r.Distance, hop.IP, hop.InterfaceName))
				}
			}
		}
	}
	return rows, nil
}

// state is what a failed case wants to know.
func (g *guest) state() string {
	out, _ := g.run("vtysh", "-c", "show ip nhrp cache", "-c", "show ip nhrp shortcut", "-c", "show ip nhrp nhs", "-c", "show ip route",
		"-c", "show ipv6 nhrp cache", "-c", "show ipv6 nhrp shortcut", "-c", "show ipv6 route")
	return out
}
