package sim

import (
	"fmt"

	"github.com/spokeway/spokeway/internal/conf"
)

const profileName = "cloud"

// profile is that of all routers of a protected cloud: one key, and lifetimes of a minute or two.
const profile = `
version: 1
node: %s
tunnels: {tun0: {underlay: eth0, address: 172.16.0.1/16, protect: cloud}}
profiles:
  cloud:
    psk: known to every router of the cloud, and to nobody else
    %s
    ike: aes256gcm-sha256-x25519
    esp: aes256gcm-x25519
    ike-lifetime: 150s
    esp-lifetime: 60s
    dpd: 15s
    path-mtu-discovery: false
`

// protect gives a router its profile. With DNS names the routers have names of their own too, else each is known by its
// underlay address.
func (c *cloud) protect(cfg *conf.Config) {
	if !c.Protect {
		return
	}
	identity := ""
	if c.Names {
		identity = "identity: " + cfg.Node + ".example"
	}
	read, _, err := conf.Parse("cloud.yaml", fmt.Appendf(nil, profile, cfg.Node, identity))
	if err != nil {
		panic(err) // of the text above
	}
	cfg.Profiles = read.Profiles
}
