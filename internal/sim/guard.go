package sim

import (
	"fmt"
	"slices"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// maxLeaks is how many are kept: one is too many.
const maxLeaks = 10

// guard holds what protection is for: a router all of whose tunnels are protected puts no GRE onto a network.
func (w *World) guard(p *process, d *dataplane.Datagram) {
	g, clear := carried(d).(dataplane.GREPacket)
	if !clear || !sealed(p.node.config) || len(w.Leaks) >= maxLeaks {
		return
	}
	w.Leaks = append(w.Leaks, fmt.Sprintf("%.6f %s: GRE in clear to %v, protocol %#04x", w.Now().Seconds(), p.node.Name, d.Destination, g.Protocol))
}

// sealed reports whether a configuration protects all of its tunnels.
func sealed(c *conf.Config) bool {
	return len(c.Tunnels) > 0 && !slices.ContainsFunc(c.Tunnels, func(t conf.Tunnel) bool { return t.Protect == "" })
}
