package conf

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

const spoke = `version: 1
node: spoke2
interfaces:
  eth1: {address: 192.168.12.1/24}
tunnels:
  tun100:
    underlay: eth0
    address: 10.100.100.12/24
    key: 42
    mtu: 1400
    nhrp:
      network-id: 1
      authentication: vyos
      holdtime: 5m
      servers: [{nbma: 10.0.0.2}]
      shortcut: true
routes:
  - {to: 10.0.0.0/8, via: 10.100.100.1}
`

func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, _, err := Parse("t.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	got := parse(t, spoke)
	want := &Config{
		Version:    1,
		Node:       "spoke2",
		Forwarding: true,
		Interfaces: []Interface{{Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.12.1/24")}}},
		Tunnels: []Tunnel{{
			Name:              "tun100",
			UnderlayInterface: "eth0",
			Addresses:         []netip.Prefix{netip.MustParsePrefix("10.100.100.12/24")},
			Key:               dataplane.Key{Value: 42, Set: true},
			MTU:               1400,
			TTL:               64,
			ClampMSS:          true,
			NHRP: &nhrp.Config{
				Tunnel:         "tun100",
				NetworkID:      1,
				Authentication: "vyos",
				HoldTime:       5 * time.Minute,
				Shortcut:       true,
				Servers:        []nhrp.Server{{NBMA: "10.0.0.2"}},
				Fallback:       30 * time.Second,
				Rate:           nhrp.DefaultRate,
			},
		}},
		Routes: []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("10.100.100.1"), Distance: 1, Weight: 1}},
		Log:    Log{Level: "info", Format: "auto"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	again(t, "t.yaml", got)
}

func TestRoles(t *testing.T) {
	type role struct{ shortcut, redirect, dynamic bool }
	const head = "version: 1\ntunnels:\n  t: {underlay: eth0, address: 10.0.0.1/24, nhrp: {network-id: 1"
	for _, tt := range []struct {
		name, nhrp string
		want       role
	}{
		{"hub", "", role{redirect: true, dynamic: true}},
		{"spoke", ", servers: [{nbma: hub.example.net}]", role{shortcut: true}},
		{"regional hub", ", servers: [{nbma: hub.example.net}], redirect: true, multicast: dynamic", role{true, true, true}},
		{"phase 1 hub", ", redirect: false, multicast: none", role{}},
		{"phase 2 spoke", ", servers: [{nbma: hub.example.net}], shortcut: false, multicast: servers", role{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, head+tt.nhrp+"}}\n")
			n := c.Tunnels[0].NHRP
			if got := (role{n.Shortcut, n.Redirect, n.Multicast}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			again(t, "t.yaml", c)
		})
	}
}

func TestUnderlayFamily(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		ipv6       bool
	}{
		{"nothing known", "underlay: eth0, nhrp: {network-id: 1}", false},
		{"an address", `underlay: "2001:db8::1", nhrp: {network-id: 1}`, true},
		{"the server's", `underlay: eth0, nhrp: {network-id: 1, servers: [{nbma: a.example}, {nbma: "2001:db8::1"}]}`, true},
		{"written", "underlay: eth0, underlay-family: ipv6, nhrp: {network-id: 1}", true},
	} {
		c := parse(t, "version: 1\ntunnels: {t: {address: 10.0.0.1/24, "+tt.keys+"}}\n")
		if got := c.Tunnels[0].UnderlayIPv6; got != tt.ipv6 {
			t.Errorf("%s: IPv6 %v", tt.name, got)
		}
		again(t, "t.yaml", c)
	}
}

func TestKeyZeroIsNotNoKey(t *testing.T) {
	c := parse(t, "version: 1\ntunnels:\n  a: {underlay: eth0, address: 10.1.0.1/24, key: 0}\n  b: {underlay: eth0, address: 10.2.0.1/24}\n")
	if !c.Tunnels[0].Key.Set || c.Tunnels[1].Key.Set {
		t.Errorf("%+v %+v", c.Tunnels[0].Key, c.Tunnels[1].Key)
	}
	again(t, "t.yaml", c)
}

func TestLoopbackMayHaveAddresses(t *testing.T) {
	c := parse(t, "version: 1\ninterfaces: {lo: {address: [10.255.0.1/32, \"2001:db8::1/128\"]}}\n")
	if len(c.Interfaces) != 1 || len(c.Interfaces[0].Addresses) != 2 {
		t.Errorf("%+v", c.Interfaces)
	}
	again(t, "t.yaml", c)
}

func TestRedacted(t *testing.T) {
	out := string(parse(t, spoke).Redacted())
	if strings.Contains(out, "vyos") || !strings.Contains(out, "authentication: \"<redacted>\"") {
		t.Errorf("%s", out)
	}
	_, _, err := Parse("t.yaml", []byte(out))
	if err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("a redacted configuration is taken for a whole one: %v", err)
	}
}

// TestSecretsStayOut breaks a file around its password in many ways and looks for the password in what is said.
func TestSecretsStayOut(t *testing.T) {
	const secret = "Zq7Xw9Kp"
	for _, src := range []string{
		"authentication: " + secret + secret,
		"authentication: [" + secret + "]",
		"authentication: {" + secret + ": " + secret + "}",
		"authentication: \"" + secret + "\" " + secret,
		"authentication: \"" + secret,
		"authentication: '" + secret + "' : x",
		"authentication: &" + secret + " x",
		"authentication: !!" + secret + " x",
		"authentication:\n" + secret,
		"authentication: |" + secret,
		"authentication: " + secret + "\n\t" + secret,
		"authentication: " + secret + ": " + secret,
		"authentication: @" + secret,
		"authentication: `" + secret,
		"authentication: %" + secret,
		"authentication: >-\n          " + secret + secret,
		"authentication-file: " + secret + "\n      authentication: " + secret,
	} {
		body := strings.Replace(spoke, "authentication: vyos", src, 1)
		_, _, err := Parse("t.yaml", []byte(body))
		if err == nil {
			t.Errorf("%q is accepted", src)
			continue
		}
		said := err.Error()
		if strings.HasPrefix(src, "authentication-file") {
			said = strings.ReplaceAll(said, "stat "+secret, "") // that is a path
		}
		if strings.Contains(said, secret) {
			t.Errorf("%q is answered by\n%s", src, said)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"a value", "holdtime: 5m", "holdtime: 10m", "changed tunnels.tun100.nhrp.holdtime: 5m to 10m"},
		{"the writing only", "holdtime: 5m", "holdtime: 300", ""},
		{"a default", "      holdtime: 5m\n", "", "changed tunnels.tun100.nhrp.holdtime: 5m to 2h"},
		{"a key goes", "    key: 42\n", "", "removed tunnels.tun100.key: 42"},
		{"a password", "authentication: vyos", "authentication: cisco", "changed tunnels.tun100.nhrp.authentication"},
		{"a server", "{nbma: 10.0.0.2}", "{nbma: 10.0.0.2}, {nbma: 10.0.0.3}", "added tunnels.tun100.nhrp.servers[10.0.0.3]"},
		{"a server's priority", "{nbma: 10.0.0.2}", "{nbma: 10.0.0.2, priority: 3}", "changed tunnels.tun100.nhrp.servers[10.0.0.2].priority: 0 to 3"},
		{"the last route", "routes:\n  - {to: 10.0.0.0/8, via: 10.100.100.1}\n", "", "removed routes[10.0.0.0/8 via 10.100.100.1]"},
		{"a route", "routes:\n", "routes:\n  - {to: 172.16.0.0/12, blackhole: true}\n", "added routes[172.16.0.0/12 blackhole]"},
		{"addresses", "address: 192.168.12.1/24", "address: [192.168.12.1/24, 192.168.13.1/24]", "changed interfaces.eth1.address: 192.168.12.1/24 to [192.168.12.1/24, 192.168.13.1/24]"},
		{"a tunnel", "tunnels:\n", "tunnels:\n  tun9: {underlay: eth0, address: 10.9.0.1/24}\n", "added tunnels.tun9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edited := strings.Replace(spoke, tt.old, tt.new, 1)
			if tt.old != tt.new && edited == spoke {
				t.Fatal("the edit does nothing")
			}
			var got []string
			for _, c := range Diff(parse(t, spoke), parse(t, edited)) {
				got = append(got, c.String())
			}
			if s := strings.Join(got, "\n"); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestErrorString(t *testing.T) {
	var err error = Errors{{File: "a.yaml", Message: "empty"}, {File: "a.yaml", Line: 2, Column: 3, Message: "unknown key \"kee\"", Suggestion: "key"}}
	want := "a.yaml: empty\na.yaml:2:3: unknown key \"kee\" (did you mean \"key\"?)"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got %s", got)
	}
}

func TestNear(t *testing.T) {
	words := []string{"key", "mtu", "ttl", "network-id", "holdtime", "servers"}
	for word, want := range map[string]string{
		"kye": "key", "Network_ID": "network-id", "holdtme": "holdtime", "server": "servers", "mut": "mtu",
		"zebra": "", "": "", "hold-time": "holdtime", strings.Repeat("k", 1000): "",
	} {
		if got := near(word, words); got != want {
			t.Errorf("near(%.20q) = %q, want %q", word, got, want)
		}
	}
}

// TestDiffOfOrder holds that an order which decides is told: the first key is sent with, the first match decides.
func TestDiffOfOrder(t *testing.T) {
	keys := func(list string) *Config {
		return parse(t, "version: 1\nospf: {areas: {0: {interfaces: {eth1: {authentication: ["+list+"]}}}}}\n")
	}
	const first, second = "{id: 1, key: a}", "{id: 2, key: b}"
	for _, tt := range []struct{ name, old, new, want string }{
		{"the same", first + "," + second, first + "," + second, ""},
		{"turned", first + "," + second, second + "," + first, "changed ospf.areas.0.interfaces.eth1.authentication: the order 1, 2 to 2, 1"},
		{"one more in front", first, second + "," + first, "added ospf.areas.0.interfaces.eth1.authentication[2]"},
		{"the first goes", first + "," + second, second, "removed ospf.areas.0.interfaces.eth1.authentication[1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range Diff(keys(tt.old), keys(tt.new)) {
				got = append(got, c.String())
			}
			if s := strings.Join(got, "\n"); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}
