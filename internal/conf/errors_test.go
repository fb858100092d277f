package conf

import (
	"errors"
	"strings"
	"testing"
)

// TestErrors is what people read when they err. tunnel and nhrp cases stand in a file whose rest is right; their
// first line is line 4, and line 8.
func TestErrors(t *testing.T) {
	tunnel := func(keys string) string {
		return "version: 1\ntunnels:\n  tun0:\n    " + keys + "\n"
	}
	with := func(keys string) string { return tunnel("underlay: eth0\n    address: 10.0.0.1/24\n    " + keys) }
	in := func(keys string) string { return with("nhrp:\n      network-id: 1\n      " + keys) }
	routes := func(list string) string {
		return "version: 1\ninterfaces: {eth0: {address: 192.0.2.1/24}}\nroutes:\n" + list
	}
	for _, tt := range []struct{ name, text, want string }{
		// The format.
		{"no YAML", "version: [1", `t:1:10: sequence end token ']' not found`},
		{"tab", "version: 1\nlog:\n\tlevel: info\n", `t:3:1: found character 'tab' that cannot start any token`},
		{"no mapping", "- version\n", `t:1:1: want a mapping of keys, found a list`},
		{"empty", "", `t:1:1: want a mapping of keys, found nothing`},
		{"second document", "version: 1\n---\nversion: 1\n", `t:3:1: a second document: one file is one configuration`},
		{"anchor", "version: &x 1\n", `t:1:10: anchors and aliases are not allowed`},
		{"tag", "version: !!int 1\n", `t:1:10: YAML tags and directives are not allowed`},
		{"control character", "version: 1\nnode: a\ab\n", `t:2:8: not text: a control character or invalid UTF-8`},

		// Keys.
		{"unknown", "version: 1\ntunnles: {}\n", `t:2:1: unknown key "tunnles" (did you mean "tunnels"?)`},
		{"unknown and far", "version: 1\nzebra: 1\n", `t:2:1: unknown key "zebra"`},
		{"unknown where one is missing", tunnel("underlay: eth0\n    addres: 10.0.0.1/24"), `t:5:5: tunnels.tun0: unknown key "addres" (did you mean "address"?)`},
		{"underscore", in("network_id: 1"), `t:8:7: tunnels.tun0.nhrp: unknown key "network_id" (did you mean "network-id"?)`},
		{"in the wrong place", with("holdtime: 5m"), `t:6:5: tunnels.tun0: unknown key "holdtime" (did you mean "tunnels.NAME.nhrp.holdtime"?)`},
		{"repeated", "version: 1\nnode: a\nnode: b\n", `t:3:1: node is given twice, first in line 2`},
		{"repeated tunnel", with("") + "  tun0: {underlay: eth1, address: 10.1.0.1/24}\n", `t:7:3: tunnels: tun0 is given twice, first in line 3`},
		{"missing", "node: a\n", `t:1:1: version is missing`},
		{"missing in a tunnel", tunnel("key: 1"), "t:4:5: tunnels.tun0: underlay is missing\nt:4:5: tunnels.tun0: address is missing"},
		{"no value", with("mtu:"), `t:6:5: mtu: no value: want 576 to 65535`},
		{"other version", "version: 2\n", `t:1:10: version: 2 is out of range: want 1`},
		{"list for mapping", "version: 1\ntunnels: []\n", `t:2:10: tunnels: want a mapping of names, found a list`},
		{"mapping for list", "version: 1\nroutes: {}\n", `t:2:9: routes: want a list (- …), found a mapping`},

		// Refused until they are built: nobody shall believe they work.
		{"ospf without areas", "version: 1\nospf: {}\n", `t:2:7: ospf: areas is missing`},
		{"ospf area", "version: 1\nospf: {areas: {x: {}}}\n", `t:2:16: areas: "x" is no area: want a number or four, such as 0 or 0.0.0.1`},
		{"ospf area twice", "version: 1\nospf: {areas: {1: {}, 0.0.0.1: {}}}\n", `t:2:16: area 1 is 0.0.0.1, which is given already`},
		{"ospf stub backbone", "version: 1\nospf: {areas: {0: {type: stub}}}\n", `t:2:26: type: the backbone is neither stub nor nssa (RFC 2328 section 3.6)`},
		{"ospf interface in two areas", "version: 1\nospf: {areas: {0: {interfaces: {eth1: {}}}, 1: {interfaces: {eth1: {}}}}}\n", `t:2:62: eth1 is in area 0 already`},
		{"ospf dead", "version: 1\nospf: {areas: {0: {interfaces: {eth1: {dead: 10}}}}}\n", `t:2:46: dead: 10s is not longer than hello, 10s`},
		{"ospf network", "version: 1\nospf: {areas: {0: {interfaces: {eth1: {network: p2p}}}}}\n", `t:2:49: network: want broadcast, point-to-point, point-to-multipoint, nbma or loopback`},
		{"ospf key", "version: 1\nospf: {areas: {0: {interfaces: {eth1: {authentication: [{id: 1}]}}}}}\n", `t:2:57: the key is missing: give key or key-file`},
		{"ospfv3 md5", "version: 1\nospfv3: {areas: {0: {interfaces: {eth1: {authentication: [{id: 1, algorithm: md5, key: x}]}}}}}\n", `t:2:78: algorithm: OSPFv3 has no md5: want hmac-sha-256 or another HMAC`},
		{"ospfv3 instance", "version: 1\nospfv3: {areas: {0: {interfaces: {eth1: {instance: 64}}}}}\n", `t:2:52: instance: 64 is not of this address family: want 0 to 31 for IPv6, 64 to 95 for IPv4 (RFC 5838 section 2.1)`},
		{"match of nothing", "version: 1\nospf: {areas: {0: {}}, redistribute: [{from: static, match: [{deny: true}]}]}\n", `t:2:62: no prefix and no tag to match: give prefix or tagged`},
		{"match of a tag that there is not", "version: 1\nospf: {areas: {0: {}}, redistribute: [{from: kernel, match: [{tagged: 7}]}]}\n", `t:2:71: tagged: only static routes have tags here: a kernel route matches by prefix`},
		{"guard of a tunnel in clear", with("guard: none"), `t:6:12: guard: what a tunnel in clear leads to is not kept from leaving in clear: add protect, or remove guard`},
		{"guard of what is not known", with("guard: all"), `t:6:12: guard: want learned, configured or none`},
		{"ospf range of the other family", "version: 1\nospf: {areas: {1: {ranges: [{prefix: \"2001:db8::/32\"}]}}}\n", `t:2:29: 2001:db8::/32 is not of the family that OSPFv2 routes`},
		{"ospf: what only a stub has", "version: 1\nospf: {areas: {1: {summary: false}}}\n", `t:2:29: summary: means nothing in area 1, which is normal: want type stub or nssa, or remove it`},
		{"ospf: what only an nssa has", "version: 1\nospf: {areas: {1: {type: stub, default-route: true}}}\n", `t:2:47: default-route: means nothing in area 1, which is stub: want type nssa, or remove it`},
		{"ospf: nssa ranges of a stub", "version: 1\nospf: {areas: {1: {type: stub, nssa-ranges: [{prefix: 10.0.0.0/8}]}}}\n", `t:2:45: nssa-ranges: means nothing in area 1, which is stub: want type nssa, or remove it`},
		{"ospf: a range twice", "version: 1\nospf: {areas: {1: {ranges: [{prefix: 10.0.0.0/8}, {prefix: 10.0.0.0/8, hide: true}]}}}\n", `t:2:51: 10.0.0.0/8 is given twice`},
		{"ospf: a summary twice", "version: 1\nospf: {areas: {1: {}}, summaries: [{prefix: 10.0.0.0/8}, {prefix: 10.0.0.0/8}]}\n", `t:2:58: 10.0.0.0/8 is given twice`},
		{"ospf: neighbours of broadcast", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {neighbors: [{address: 10.0.0.2}]}}}}}\n", `t:2:51: neighbors: those of a broadcast network are found by multicast: want network point-to-multipoint or nbma, or remove them`},
		{"ospf: a neighbour twice", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {network: nbma, neighbors: [{address: 10.0.0.2}, {address: 10.0.0.2}]}}}}}\n", `t:2:88: neighbour 10.0.0.2 is given twice`},
		{"ospf: a neighbour beyond the link", "version: 1\nospfv3: {areas: {1: {interfaces: {eth1: {network: nbma, neighbors: [{address: \"2001:db8::1\"}]}}}}}\n", `t:2:69: 2001:db8::1 is not link-local: OSPFv3 speaks by the addresses in fe80::/10 (RFC 5340 section 2.5)`},
		{"ospf: OSPFv3 on a tunnel without a link-local address", "version: 1\ntunnels: {tun0: {underlay: eth0, address: \"fd00::1/64\"}}\nospfv3: {areas: {0: {interfaces: {eth1: {}, tun0: {}}}}}\n", `t:3:45: tun0 has no link-local address, and OSPFv3 speaks by those (RFC 5340 section 2.5): add one to tunnels.tun0.address, such as fe80::11/64, unlike that of any other router of the cloud`},
		{"ospf: unicast on broadcast", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {unicast: true}}}}}\n", `t:2:49: unicast: hellos go to neighbours alone on point-to-multipoint, and the network of eth1 is broadcast: want network point-to-multipoint, or nbma`},
		{"ospf: flood on broadcast", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {flood: own}}}}}\n", `t:2:47: flood: the routers of a broadcast network tell each other what any of them knows: want network point-to-multipoint or point-to-point`},
		{"ospf: instance of OSPFv2", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {instance: 3}}}}}\n", `t:2:50: instance: OSPFv2 has one instance on a link: remove it`},
		{"ospf: hello without a dead interval", "version: 1\nospfv3: {areas: {1: {interfaces: {eth1: {hello: 5h}}}}}\n", `t:2:49: hello: four times 5h does not fit into hellos of OSPFv3: give dead`},
		{"ospf: a key twice", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {authentication: [{id: 2, key: a}, {id: 2, algorithm: md5, key: b}]}}}}}\n", `t:2:74: key 2 is given twice: neighbours know a key by its id, so give each its own`},
		{"ospf: extended in OSPFv3", "version: 1\nospfv3: {areas: {1: {interfaces: {eth1: {authentication: [{extended: true, key: a}]}}}}}\n", `t:2:70: extended: is for OSPFv2 with an HMAC (RFC 7474): remove it`},
		{"ospf: extended with MD5, RFC 7474", "version: 1\nospf: {areas: {1: {interfaces: {eth1: {authentication: [{algorithm: md5, extended: true, key: a}]}}}}}\n", `t:2:84: extended: is for OSPFv2 with an HMAC (RFC 7474): remove it`},
		{"ospf: redistribute what is taken", "version: 1\nospf: {areas: {1: {}}, redistribute: [{from: static}, {from: static, metric: 3}]}\n", `t:2:55: what is before it takes all static routes, so that nothing is left for it: give the former a match, or remove this`},
		{"ospf: match of longer than there is", "version: 1\nospf: {areas: {1: {}}, redistribute: [{from: static, match: [{prefix: 10.0.0.0/8, max: 40}]}]}\n", `t:2:62: min or max is above 32, the longest prefix that there is`},
		{"ospf: match of shorter than its prefix", "version: 1\nospf: {areas: {1: {}}, redistribute: [{from: static, match: [{prefix: 10.0.0.0/8, max: 7}]}]}\n", `t:2:62: max 7 is below the length of 10.0.0.0/8: nothing matches`},
		{"ospf: match from shorter than its prefix", "version: 1\nospf: {areas: {1: {}}, redistribute: [{from: static, match: [{prefix: 10.0.0.0/8, min: 7}]}]}\n", `t:2:62: min 7 is below the length of 10.0.0.0/8: what lies in it is at least as long`},
		{"ospf bandwidth", with("bandwidth: fast"), `t:6:16: bandwidth: want bits per second, such as 10M or 1G`},
		{"vrf", with("vrf: blue"), `t:6:10: vrf: routing tables other than default are not supported yet (did you mean "default"?)`},

		// Types and ranges.
		{"track of what is not known", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, track: ping}]\n", `t:2:50: track: want bfd`},
		{"track-from without track", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, track-from: 10.0.0.1}]\n", `t:2:10: route to 10.9.0.0/16 says how via is watched, and not that it is: give track: bfd`},
		{"track-hops without track-from", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, track: bfd, track-hops: 3}]\n", `t:2:67: track-hops: the next hops of the route to 10.9.0.0/16 are watched on their links, which is one hop: give track-from`},
		{"track-from of another family", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, track: bfd, track-from: fd00::1}]\n", `t:2:67: track-from: fd00::1 is IPv6 and via 10.0.0.9 is not`},
		{"track-from that is via", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, track: bfd, track-from: 10.0.0.9}]\n", `t:2:67: track-from: 10.0.0.9 is via itself: give an address of this router`},
		{"track-from on a link", "version: 1\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.9, interface: eth0, track: bfd, track-from: 10.0.0.1}]\n", `t:2:84: track-from: via 10.0.0.9 is on eth0, one hop away: remove track-from, or interface`},
		{"track without a next hop", "version: 1\nroutes: [{to: 10.9.0.0/16, interface: eth0, track: bfd}]\n", `t:2:52: track: the route to 10.9.0.0/16 has no next hop that could be watched: give via`},
		{"bfd too fast", with("bfd: {interval: 5ms}"), `t:6:21: interval: 5ms is out of range: want 10ms to 1m`},
		{"bfd without a unit", with("bfd: {interval: 50}"), `t:6:21: interval: want a duration with its unit, such as 50ms or 1s (did you mean "50ms"?)`},
		{"bfd too fine", with("bfd: {interval: 10.5ms}"), `t:6:21: interval: want whole milliseconds`},
		{"bfd multiplier", with("bfd: {multiplier: 0}"), `t:6:23: multiplier: 0 is out of range: want 1 to 255`},
		{"bfd as a word", with("bfd: true"), `t:6:10: tunnels.tun0.bfd: want a mapping of keys, found true or false`},
		{"truth", with("clamp-mss: yes"), `t:6:16: clamp-mss: want true or false, found text (did you mean "true"?)`},
		{"quoted number", with(`mtu: "1400"`), `t:6:10: mtu: want a number without quotes (did you mean "1400"?)`},
		{"text for number", with("mtu: big"), `t:6:10: mtu: want a number, 576 to 65535, found text`},
		{"fraction", with("mtu: 1400.5"), `t:6:10: mtu: want a whole decimal number, 576 to 65535`},
		{"octal", with("mtu: 01400"), `t:6:10: mtu: want a whole decimal number, 576 to 65535`},
		{"mtu", with("mtu: 500"), `t:6:10: mtu: 500 is out of range: want 576 to 65535`},
		{"RFC 8200 section 5, mtu", tunnel("underlay: eth0\n    address: 2001:db8::1/64\n    mtu: 1279"), `t:6:10: mtu: 1279 is too small with IPv6 on it: want 1280 or more`},
		{"key", with("key: 4294967296"), `t:6:10: key: 4294967296 is out of range: want 0 to 4294967295`},
		{"negative key", with("key: -1"), `t:6:10: key: want a whole decimal number, 0 to 4294967295`},
		{"ttl", with("ttl: 0"), `t:6:10: ttl: 0 is out of range: want 1 to 255`},
		{"network-id", with("nhrp: {network-id: 0}"), `t:6:24: network-id: 0 is out of range: want 1 to 4294967295`},
		{"holdtime", in("holdtime: 20h"), `t:8:17: holdtime: 20h is out of range: want 1s to 18h12m15s`},
		{"holdtime in words", in("holdtime: five"), `t:8:17: holdtime: want a duration such as 90s, 5m or 2h, or a number of seconds`},
		{"holdtime too fine", in("holdtime: 1500ms"), `t:8:17: holdtime: want whole seconds`},
		{"password", in("authentication: 123456789"), `t:8:23: authentication: the password has 9 octets: want 1 to 8, as Cisco's has`},
		{"encapsulation", with("encapsulation: upd"), `t:6:20: encapsulation: want auto, esp, udp or gre (did you mean "udp"?)`},
		{"priority", in("servers: [{nbma: a.example, priority: 256}]"), `t:8:45: priority: 256 is out of range: want 0 to 255`},
		{"auto is of protected tunnels", with("encapsulation: auto"), `t:6:20: encapsulation: auto is of protected tunnels: add protect, or want gre or udp`},
		{"esp is of protected tunnels", with("encapsulation: esp"), `t:6:20: encapsulation: esp is of protected tunnels: add protect, or want gre or udp`},
		{"fragment", with("fragment: outside"), `t:6:15: fragment: want inner or outer`},

		// Names and addresses.
		{"long interface", "version: 1\ninterfaces: {eth0123456789012: {address: 10.0.0.1/24}}\n", `t:2:14: interfaces: "eth0123456789012" is longer than the 15 characters of an interface name`},
		{"illegal interface", "version: 1\ninterfaces: {eth/0: {address: 10.0.0.1/24}}\n", `t:2:14: interfaces: "eth/0" is no interface name: want letters, digits, '_', '.', '@' and '-'`},
		{"reserved interface", "version: 1\ninterfaces: {all: {address: 10.0.0.1/24}}\n", `t:2:14: interfaces: "all" means every interface to the kernel`},
		{"tunnel named as the loopback", "version: 1\ntunnels: {lo: {underlay: eth0, address: 10.0.0.1/24}}\n", `t:2:11: tunnels: "lo" is the host's loopback interface`},
		{"no length", tunnel("underlay: eth0\n    address: 10.0.0.1"), `t:5:14: address: want a prefix with its length (did you mean "10.0.0.1/32"?)`},
		{"network for address", tunnel("underlay: eth0\n    address: 10.0.0.0/24"), `t:5:14: address: 10.0.0.0/24 is the network, not the address of a host (did you mean "10.0.0.1/24"?)`},
		{"length on underlay", tunnel("underlay: 10.9.9.9/24\n    address: 10.0.0.1/24"), `t:4:15: underlay: want an address without a prefix length (did you mean "10.9.9.9"?)`},
		{"mapped", in("servers: [{nbma: \"::ffff:192.0.2.1\"}]"), `t:8:24: nbma: want the IPv4 address itself (did you mean "192.0.2.1"?)`},
		{"multicast", in("servers: [{nbma: 224.0.0.1}]"), `t:8:24: nbma: 224.0.0.1 is not the address of a host`},
		{"no name", in("servers: [{nbma: 10.0.0.256}]"), `t:8:24: nbma: "10.0.0.256" is neither an address nor a DNS name`},
		{"listen", "version: 1\nmetrics: {listen: 127.0.0.1}\n", `t:2:19: listen: want address:port (did you mean "127.0.0.1:9273"?)`},

		// Contradictions.
		{"same underlay and key", with("key: 1") + "  tun1: {underlay: eth0, address: 10.1.0.1/24, key: 1}\n", `t:7:53: tun0 and tun1 have one underlay and one key, 1: give them different keys`},
		{"same underlay, no key", with("") + "  tun1: {underlay: eth0, address: 10.1.0.1/24}\n", `t:7:3: tun0 and tun1 have one underlay and no key: give them keys`},
		{"same underlay by address", with("") + "  tun1: {underlay: 192.0.2.1, address: 10.1.0.1/24}\ninterfaces: {eth0: {address: 192.0.2.1/24}}\n", `t:7:3: tun0 and tun1 have one underlay and no key: give them keys`},
		{"overlapping tunnels", with("key: 1") + "  tun1: {underlay: eth0, address: 10.0.0.130/25, key: 2}\n", `t:7:35: address: 10.0.0.130/25 of tun1 overlaps with 10.0.0.1/24 of tun0`},
		{"tunnel over interface", with("") + "interfaces:\n  eth1: {address: 10.0.0.7/16}\n", `t:8:19: address: 10.0.0.7/16 of eth1 overlaps with 10.0.0.1/24 of tun0`},
		{"one address twice", "version: 1\ninterfaces: {eth0: {address: [10.0.0.1/24, 10.0.0.1/25]}}\n", `t:2:44: address: 10.0.0.1 is given twice`},
		{"interface and tunnel", with("") + "interfaces: {tun0: {address: 10.1.0.1/24}}\n", `t:7:14: tun0 is a tunnel: its addresses belong to tunnels.tun0`},
		{"underlay is itself", tunnel("underlay: tun0\n    address: 10.0.0.1/24"), `t:4:15: underlay: tun0 is a tunnel: want an interface or address of the network below`},
		{"underlay in overlay", tunnel("underlay: 10.0.0.9\n    address: 10.0.0.1/24"), `t:4:15: underlay: 10.0.0.9 lies in 10.0.0.0/24 of tunnel tun0: it would carry itself`},
		{"underlay's family", tunnel("underlay: 192.0.2.1\n    underlay-family: ipv6\n    address: 10.0.0.1/24"), `t:5:22: underlay-family: the underlay 192.0.2.1 is IPv4`},
		{"own server by underlay", tunnel("underlay: 192.0.2.1\n    address: 10.0.0.1/24\n    nhrp: {network-id: 1, servers: [{nbma: 192.0.2.1}]}"), `t:6:44: nbma: 192.0.2.1 is this router's own address: nobody is his own server`},
		{"own server by interface", in("servers: [{nbma: 192.0.2.1}]") + "interfaces: {eth0: {address: 192.0.2.1/24}}\n", `t:8:24: nbma: 192.0.2.1 is this router's own address: nobody is his own server`},
		{"own server by protocol", in("servers: [{nbma: 192.0.2.1, protocol: 10.0.0.1}]"), `t:8:45: protocol: 10.0.0.1 is this router's own address: nobody is his own server`},
		{"server's addresses swapped", in("servers: [{nbma: 10.0.0.2, protocol: 192.0.2.1}]"), `t:8:24: nbma: 10.0.0.2 lies in 10.0.0.0/24 of tunnel tun0: want the server's underlay address`},
		{"server's family", in("servers: [{nbma: 192.0.2.1}, {nbma: \"2001:db8::1\"}]"), `t:8:43: nbma: 2001:db8::1 is IPv6 and the underlay of tun0 is not`},
		{"server's protocol family", in("servers: [{nbma: 192.0.2.1, protocol: \"2001:db8::1\"}]"), `t:8:45: protocol: 2001:db8::1 is IPv6 and tunnel tun0 has no such address`},
		{"server twice", in("servers: [{nbma: a.example}, {nbma: A.example}]"), `t:8:36: server A.example is given twice`},
		{"cluster", in("servers: [{nbma: a.example, cluster: est}]\n      clusters: {east: {}}"), `t:8:44: cluster: there is no "est" under clusters (did you mean "east"?)`},
		{"multicast of a spoke", in("servers: [{nbma: a.example}]\n      multicast: none"), `t:9:18: multicast: none with servers: it always goes to the servers (did you mean "servers"?)`},

		// Routes.
		{"bits beyond", routes("  - {to: 10.0.0.1/8, via: 192.0.2.9}\n"), `t:4:10: to: 10.0.0.1/8 has bits set beyond its length (did you mean "10.0.0.0/8"?)`},
		{"no way out", routes("  - {to: 10.0.0.0/8}\n"), `t:4:5: route to 10.0.0.0/8 has no way out: give via, interface, blackhole: true or reject: true`},
		{"two ways out", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9, blackhole: true}\n"), `t:4:5: route to 10.0.0.0/8 is a blackhole and has a way out: want one of them`},
		{"twice", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9}\n  - {to: 10.0.0.0/8, via: 192.0.2.9, distance: 2}\n"), `t:5:5: route to 10.0.0.0/8 is given twice, first in line 4`},
		{"blackhole and none", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9}\n  - {to: 10.0.0.0/8, blackhole: true}\n"), `t:5:5: routes to 10.0.0.0/8 at distance 1 are a blackhole and none`},
		{"reject and none", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9}\n  - {to: 10.0.0.0/8, reject: true}\n"), `t:5:5: routes to 10.0.0.0/8 at distance 1 are a reject and none`},
		{"blackhole and reject", routes("  - {to: 10.0.0.0/8, blackhole: true, reject: true}\n"), `t:4:47: reject: route to 10.0.0.0/8 is a blackhole already: want one of them`},
		{"blackhole, and reject in another line", routes("  - {to: 10.0.0.0/8, blackhole: true}\n  - {to: 10.0.0.0/8, reject: true}\n"), `t:5:5: routes to 10.0.0.0/8 at distance 1 are a blackhole and a reject: want one of them`},
		{"reject with a weight", routes("  - {to: 10.0.0.0/8, reject: true, weight: 3}\n"), `t:4:5: route to 10.0.0.0/8 is a reject, which has no weight, no track and no via-default`},
		{"weight 0", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9, weight: 0}\n"), `t:4:46: weight: 0 is out of range: want 1 to 255`},
		{"twice with other weights", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9}\n  - {to: 10.0.0.0/8, via: 192.0.2.9, weight: 2}\n"), `t:5:5: route to 10.0.0.0/8 is given twice, first in line 4`},
		{"two tags that share", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9, tag: 7}\n  - {to: 10.0.0.0/8, via: 192.0.2.8, tag: 8}\n"), `t:5:43: tag: routes to 10.0.0.0/8 at distance 1 share the traffic and have tags 7 and 8: want the same`},
		{"via-default with an interface", routes("  - {to: 10.0.0.0/8, via: 192.0.2.9, interface: eth0, via-default: true}\n"), `t:4:68: via-default: says how via is found, and the route to 10.0.0.0/8 needs no other: remove it`},
		{"families", routes("  - {to: \"2001:db8::/32\", via: 192.0.2.9}\n"), `t:4:32: via: 192.0.2.9 is IPv4 and 2001:db8::/32 is not`},
		{"own address", routes("  - {to: 10.0.0.0/8, via: 192.0.2.1}\n"), `t:4:27: via: 192.0.2.1 is this router's own address, on eth0`},
		{"link-local", routes("  - {to: \"2001:db8::/32\", via: \"fe80::1\"}\n"), `t:4:32: via: fe80::1 means nothing without its interface: give interface`},
		{"multipoint without via", with("") + "routes: [{to: 10.9.0.0/16, interface: tun0}]\n", `t:7:10: route to 10.9.0.0/16 out of the multipoint tunnel tun0 has no next hop: give via`},

		// Secrets.
		{"no such secret", in("authentication-file: gone"), `t:8:28: read secret: open gone: file does not exist`},
		{"long secret", in("authentication-file: long"), `t:8:28: authentication-file: long: the password has 9 octets: want 1 to 8, as Cisco's has`},
		{"empty secret", in("authentication-file: empty"), `t:8:28: authentication-file: empty: want text, found none`},
		{"two secrets", in("authentication-file: good\n      authentication: x"), `t:9:23: authentication and authentication-file are both given: want one`},

		{"many at once", "version: 3\nnoed: a\ntunnels:\n  tun0: {underlay: eth0, mtu: x, ttl: 300}\n",
			"t:1:10: version: 3 is out of range: want 1\n" +
				"t:2:1: unknown key \"noed\" (did you mean \"node\"?)\n" +
				"t:4:9: tunnels.tun0: address is missing\n" +
				"t:4:31: mtu: want a number, 576 to 65535, found text\n" +
				"t:4:39: ttl: 300 is out of range: want 1 to 255"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ParseWith("t", []byte(tt.text), testSecrets)
			if err == nil {
				t.Fatalf("accepted:\n%s", tt.text)
			}
			if err.Error() != tt.want {
				t.Errorf("got\n%s\nwant\n%s\nfor\n%s", err, tt.want, tt.text)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	const (
		head  = "version: 1\ntunnels:\n  tun0:\n    underlay: eth0\n    address: 10.0.0.1/24\n    "
		clear = "t:3:3: tunnel tun0 is in clear: it has no protect; fine for a lab, not for the Internet"
	)
	for _, tt := range []struct{ name, text, want string }{
		{"clear", "nhrp: {network-id: 1}\n", ""},
		{"no nhrp", "key: 1\n", "t:3:3: tunnel tun0 has no nhrp: no peer of it can be found"},
		{"hub without redirect", "nhrp: {network-id: 1, redirect: false}\n", "t:6:37: tunnel tun0 is a hub without redirect: its spokes are never told of shorter ways"},
		{"spoke without servers", "nhrp: {network-id: 1, shortcut: true}\n", "t:6:37: tunnel tun0 has shortcut and no servers: a spoke needs one to ask for the way"},
		{"secret for all to read", "nhrp: {network-id: 1, authentication-file: open}\n", "t:6:48: open can be read by every user of this host: chmod o= open"},
		{"cluster without servers", "nhrp: {network-id: 1, clusters: {a: {}}}\n", "t:6:38: cluster a has no servers"},
		{"server elsewhere", "nhrp: {network-id: 1, servers: [{nbma: 192.0.2.1, protocol: 10.7.0.1}]}\n", "t:6:65: protocol: 10.7.0.1 is outside the prefixes of tunnel tun0: it needs a route"},
		{"via nothing known", "nhrp: {network-id: 1}\nroutes: [{to: 10.9.0.0/16, via: 192.0.2.7}]\n", "t:7:33: via: 192.0.2.7 is on no interface or tunnel of this file: the route to 10.9.0.0/16 waits until the host has a way there"},
		{"via the other", "nhrp: {network-id: 1}\nroutes: [{to: 10.9.0.0/16, via: 10.0.0.7, interface: eth5}]\n", "t:7:33: via: 10.0.0.7 is on tun0, and the route to 10.9.0.0/16 leaves by eth5"},
		{"default route into the tunnel", "nhrp: {network-id: 1, servers: [{nbma: 192.0.2.1}]}\nroutes: [{to: 0.0.0.0/0, via: 10.0.0.7}]\n", "t:7:15: to: 0.0.0.0/0 takes server 192.0.2.1 of tun0 into the tunnel itself, unless the host has a longer route to it"},
		{"ospf: a password too long", "nhrp: {network-id: 1}\nospf: {areas: {1: {interfaces: {eth1: {authentication: [{algorithm: simple, key: ninechars}]}}}}}\n", "t:7:57: only the first 8 octets of a simple key count"},
		{"ospf: externals that a stub does not have", "nhrp: {network-id: 1}\nospf: {areas: {1: {type: stub}}, redistribute: [{from: static}]}\n", "t:7:48: redistribute: nobody hears of it: a stub area has no externals (RFC 2328 section 3.6), and there is no other; type nssa has its own"},
		{"default route, and one to the server", "nhrp: {network-id: 1, servers: [{nbma: 192.0.2.1}]}\nroutes: [{to: 0.0.0.0/0, via: 10.0.0.7}, {to: 192.0.2.1/32, interface: eth0}]\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := ParseWith("t", []byte(head+tt.text), testSecrets)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range warnings {
				if w.String() != clear {
					got = append(got, w.String())
				}
			}
			if len(got) == len(warnings) {
				t.Errorf("a tunnel in clear without a warning")
			}
			if s := strings.Join(got, "\n"); s != tt.want {
				t.Errorf("got\n%s\nwant\n%s", s, tt.want)
			}
		})
	}
}

func TestTooManyErrors(t *testing.T) {
	_, _, err := Parse("t", []byte("version: 1\nroutes:\n"+strings.Repeat("  - {to: 10.0.0.0/8}\n", 100)))
	var es Errors
	if !errors.As(err, &es) || len(es) != maxErrors+1 || !strings.Contains(es[maxErrors].Message, "more errors") {
		t.Errorf("%d errors", len(es))
	}
}
