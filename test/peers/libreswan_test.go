package peers

import (
	"fmt"
	"regexp"
	"strings"
)

// libreswanFiles are those of a guest's configuration that make libreswan protect its GRE.
func (g *guest) libreswanFiles() map[string]string {
	conf := []string{"config setup", "  protostack=xfrm", "  uniqueids=yes"}
	for _, p := range g.partners {
		conf = append(conf, g.conn(p)...)
	}
	return map[string]string{"ipsec.conf": lines(conf...), "ipsec.secrets": `: PSK "` + secretPSK + "\"\n"}
}

func (g *guest) conn(p spec) []string {
	pair := g.pair(p)
	return []string{
		"conn " + p.name,
		"  keyexchange=ikev2",
		"  authby=secret",
		"  type=" + pair.mode(),
		"  left=" + g.underlay(),
		"  leftprotoport=gre",
		"  right=" + nbma(p.site),
		"  rightprotoport=gre",
		"  leftupdown=%disabled", // it would set routes, and calls the script of strongSwan
		"  ike=" + pair.pluto[0],
		"  esp=" + pair.pluto[1],
		"  pfs=" + map[bool]string{true: "yes", false: "no"}[strings.Contains(pair.pluto[1], ";")],
		"  auto=" + map[bool]string{true: "add", false: "ondemand"}[g.isHub()],
	}
}

// whack asks pluto.
func (g *guest) whack(args ...string) (string, error) {
	return g.run(append([]string{"/usr/libexec/ipsec/whack"}, args...)...)
}

var plutoTraffic = regexp.MustCompile(`#(\d+): "([^"]*)"`)

// plutoChildren are the serial numbers of the child SAs of a connection.
func (g *guest) plutoChildren(name string) ([]string, error) {
	out, err := g.whack("--trafficstatus")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range plutoTraffic.FindAllStringSubmatch(out, -1) {
		if base, _, _ := strings.Cut(f[2], "["); base == name {
			all = append(all, f[1])
		}
	}
	return all, nil
}

// plutoChild wants exactly one child SA.
func (g *guest) plutoChild(name string) (string, error) {
	all, err := g.plutoChildren(name)
	if err != nil || len(all) != 1 {
		return "", fmt.Errorf("%s has child SAs %v with %s: %v", g.name, all, name, err)
	}
	return all[0], nil
}
