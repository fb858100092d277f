package conf

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// full has every key there is, none at its default.
const full = `version: 1
node: everything
forwarding: false
interfaces:
  eth1.100: {address: [192.0.2.1/24, "2001:db8:1::1/64"], mtu: 9000}
tunnels:
  all-of-it:
    vrf: default
    underlay: 198.51.100.1
    underlay-family: ipv4
    address: [10.0.0.1/24, "2001:db8:2::1/64"]
    key: 4294967295
    mtu: 1300
    ttl: 255
    clamp-mss: false
    encapsulation: udp
    fast-path: true
    bfd: {interval: 50ms, multiplier: 5, demand: 1m}
    bandwidth: 20M
    nhrp:
      network-id: 4294967295
      authentication-file: good
      holdtime: 65535
      unique: true
      shortcut: false
      redirect: true
      multicast: dynamic
      resolution: answer
      servers:
        - {nbma: Hub.Example.NET., protocol: 10.0.0.2, priority: 255, cluster: a.b}
        - {nbma: 203.0.113.1, protocol: "2001:db8:2::2"}
      clusters: {a.b: {max-connections: 2}}
      fallback: 0
      max-clients: 10
      rate-limit: {per-second: 1, burst: 2}
  second:
    underlay: eth0
    address: 10.1.0.1/32
    nhrp: {network-id: 2, authentication: 'a"\ #:1'}
  third:
    underlay: eth2
    address: 10.3.0.1/24
    protect: signed
    encapsulation: udp
    fragment: outer
    mtu: 9000
    nhrp: {network-id: 3}
  fourth: {underlay: eth3, address: 10.4.0.1/24, protect: shared, guard: configured, encapsulation: gre, nhrp: {network-id: 4}}
profiles:
  shared:
    psk-file: corp.psk
    psks:
      - {peer: "*.example.com", psk-file: corp.psk}
      - {peer: 10.0.0.0/8, psk: "in place: 'quoted' # and long"}
      - {psk-file: old.psk}
    identity: "CN=hub, O=Acme"
    peers: ["*.example.com", "*@example.com", "CN=*, O=Acme", "keyid:0x00ff"]
    bind:
      - {peer: a.example.com, addresses: [10.100.0.1/32, "2001:db8::/64"]}
    ppk: [{id: q1, secret-file: quantum.ppk}, {id: q2, secret: "and one in place that is as long as it has to be"}]
    ppk-required: true
    ike: [default, aes256-sha256-modp2048, aes128-sha1-modp1024]
    esp: aes256-sha1-modp2048-none
    mode: auto
    ike-lifetime: 1h30m
    esp-lifetime: 10
    esp-bytes: 1000000000
    esp-packets: 1000000
    dpd: 0
    mobike: false
    fragmentation: 0
    allow-sha1: true
    path-mtu-discovery: false
  signed: {certificate: hub.pem, key: hub.key, ca: [ca.pem, strangers.pem], crl: ca.crl, crl-policy: strict, mode: tunnel, fragmentation: 576}
  in-place: {psk: "a long one, with digits 0123456789"}
routes:
  - {to: 10.8.0.0/16, via: 10.0.0.2, track: bfd, track-from: 10.0.0.1, track-hops: 5}
  - {to: 10.2.0.0/16, via: 10.0.0.2, interface: all-of-it, distance: 255, weight: 255, tag: 7, vrf: default, track: bfd}
  - {to: 10.3.0.0/16, via: 192.0.2.77, via-default: true}
  - {to: "2001:db8:3::/48", blackhole: true}
  - {to: "2001:db8:4::/48", reject: true}
ospf:
  router-id: 10.0.0.1
  passive: true
  areas:
    0: {interfaces: {all-of-it: {network: broadcast, passive: false, cost: 7, bandwidth: 10M, priority: 0, hello: 5, dead: 21, retransmit: 2, transmit-delay: 2, poll: 30,
        mtu-ignore: true, ttl-security: 254, authentication: [{id: 3, algorithm: md5, key: "in: place"}, {id: 300, extended: true, key-file: good}], bfd: {interval: 1s}},
        second: {unicast: true, host-route: false, flood: own, neighbors: [{address: 10.1.0.9, cost: 3, priority: 0}]}}}
    0.0.0.1: {type: nssa, summary: false, default-cost: 5, translate: true, default-route: true, ranges: [{prefix: 10.64.0.0/10, hide: true}],
        nssa-ranges: [{prefix: 10.128.0.0/10, cost: 4, tag: 9}]}
  redistribute: [{from: static, type: 1, metric: 5, tag: 6, match: [{prefix: 10.0.0.0/8, min: 9, max: 24, deny: true}, {prefix: 10.0.0.0/8, metric: 3, tag: 2}, {tagged: 7}]}, {from: kernel}]
  default-route: {always: true, type: 1, metric: 3, tag: 4}
  summaries: [{prefix: 172.16.0.0/12, tag: 5}]
  reference-bandwidth: 10G
  max-paths: 4
  distance: 111
  rfc1583: true
  max-lsa: 1000
  stub-router: {always: true, on-startup: 60}
  spf-throttle: {initial: 1ms, hold: 2ms, max: 3ms}
  lsa-throttle: {initial: 1ms, hold: 2ms, max: 3ms}
  graceful-restart: {period: 120, helper: false, strict: false}
ospfv3: {router-id: 10.0.0.1, areas: {0: {interfaces: {eth9: {instance: 5, authentication: [{algorithm: hmac-sha-512, key: k}]}}}}}
ospfv3-ipv4: {areas: {0: {interfaces: {eth9: {instance: 70}}}}}
metrics: {listen: ":9273"}
log: {level: debug, format: json, debug: [10.0.0.2, "2001:db8:2::2", all-of-it]}
`

// TestEveryKey reads and prints all keys of the table.
func TestEveryKey(t *testing.T) {
	c, _, err := ParseWith("full", []byte(full), testSecrets)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := ParseWith("full", c.YAML(), testSecrets)
	if err != nil {
		t.Fatalf("%v\n%s", err, c.YAML())
	}
	if diff := Diff(c, d); len(diff) > 0 {
		t.Errorf("printed and read back it has changed: %v\n%s", diff, c.YAML())
	}
	for _, r := range rootKeys.rows("") {
		key := r.path[strings.LastIndex(r.path, ".")+1:]
		if written := regexp.MustCompile(`\b` + key + `:`).MatchString(full); written == (r.kind == "not supported yet") {
			t.Errorf("%s: written in this test: %v", r.path, written)
		}
	}
}

// TestTheExample holds that the example everybody starts from is read.
func TestTheExample(t *testing.T) {
	text := strings.Replace(spoke, "    nhrp:", "    protect: corp\n    bfd: {interval: 50ms, multiplier: 3}\n    nhrp:", 1) +
		"profiles:\n  corp: {psk-file: corp.psk}\nospf:\n  areas: {0: {interfaces: {tun100: {network: point-to-multipoint}, eth1: {passive: true}}}}\n"
	c, _, err := ParseWith("t", []byte(text), testSecrets)
	if err != nil {
		t.Fatal(err)
	}
	i := c.OSPFInstances()[0].Areas[0].Interfaces
	if i[0].Name != "eth1" || !i[0].Passive || i[1].Network.String() != "point-to-multipoint" || i[1].Liveness == nil {
		t.Errorf("%+v", i)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return p
	}
	text := strings.NewReplacer("authentication: vyos", "authentication-file: cloud.password", "10.0.0.2", "192.0.2.1").Replace(spoke)
	file := write("spokeway.yaml", text, 0o644)

	_, _, err := Load(file)
	if err == nil || !strings.Contains(err.Error(), file+":13:28: read secret: ") || !strings.Contains(err.Error(), filepath.Join(dir, "cloud.password")) {
		t.Errorf("a secret that is not there: %v", err)
	}

	write("cloud.password", "first\n", 0o640)
	old, warnings, err := Load(file)
	if err != nil || len(warnings) != 1 {
		t.Fatalf("%v %v", warnings, err)
	}
	if got := old.Tunnels[0].NHRP.Authentication; got != "first" {
		t.Errorf("the password is %q", got)
	}
	if strings.Contains(string(old.YAML()), "first") {
		t.Error("the secret of a file is printed")
	}

	write("cloud.password", "second\r\n", 0o644)
	new, warnings, err := Load(file)
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[1].String(), "can be read by every user") {
		t.Errorf("a secret for all to read: %v %v", warnings, err)
	}
	if diff := Diff(old, new); len(diff) != 1 || diff[0].String() != "changed tunnels.tun100.nhrp.authentication-file" {
		t.Errorf("another secret in the same file: %v", diff)
	}

	if err := os.Remove(filepath.Join(dir, "cloud.password")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "cloud.password"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err = Load(file); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a secret that is no file: %v", err)
	}
	if _, _, err = Load(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "read configuration: open ") {
		t.Errorf("no file: %v", err)
	}
}
