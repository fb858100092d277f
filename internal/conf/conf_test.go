package conf

import (
	"testing"
)

func TestSmoke(t *testing.T) {
	c, w, err := Parse("x.yaml", []byte(`version: 1
node: spoke2
interfaces:
  eth1: {address: 192.168.12.1/24}
  eth0.100: {address: [10.1.1.1/24, "2001:db8::1/64"]}
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
      servers: [{nbma: 10.0.0.2}, {nbma: 2001:db8::1, protocol: ::1}]
      shortcut: true
      clusters: {a: {max-connections: 1}}
routes:
  - {to: 10.0.0.0/8, via: 10.100.100.1}
  - {to: ::/0, via: 2001:db8::7}
`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\n%v\n%s", c, w, c.YAML())
	_, _, err = Parse("x.yaml", c.YAML())
	t.Log(err)
	_, _, err = Parse("x.yaml", []byte("version: 1\ntunnls:\n  a: b\ninterfaces:\n  eth0:\n    mtu: 20\n    mtu: 30\n    address: 1.1.1.0/24\n  verylonginterfacename: 3\ntunnels:\n  tun0:\n    holdtime: 5\n    protect: x\n    nhrp: {authentication: 123456789, multicast: dynamc}\n"))
	t.Log("\n" + err.Error())
}
