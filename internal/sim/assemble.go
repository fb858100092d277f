package sim

import (
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/static"
	"github.com/spokeway/spokeway/internal/proto/tunnel"
)

// run makes a node a router with this configuration.
func (n *Node) run(cfg *conf.Config) {
	n.forwarding = cfg.Forwarding
	n.program = func(l *core.Loop, stored map[string]string) *nhrp.Module { return assemble(l, cfg, stored) }
}

func assemble(l *core.Loop, cfg *conf.Config, stored map[string]string) *nhrp.Module {
	n := nhrp.New()
	for _, m := range []core.Module{kernel.New(), tunnel.New(), static.New(), n} {
		l.Add(m, core.Start{Stored: stored})
	}
	reconfigure(l, cfg)
	return n
}

func reconfigure(l *core.Loop, cfg *conf.Config) {
	var ts tunnel.Configure
	var ns nhrp.Configure
	var rs static.Configure
	for _, t := range cfg.Tunnels {
		c := tunnel.Config{
			Name: t.Name, VRF: t.VRF, UnderlayInterface: t.UnderlayInterface, UnderlayAddress: t.UnderlayAddress,
			UnderlayIPv6: t.UnderlayIPv6, Addresses: t.Addresses, Key: t.Key, MTU: t.MTU, TTL: t.TTL,
			ClampMSS: t.ClampMSS, Encapsulation: t.Encapsulation, FastPath: t.FastPath, Protected: t.Protect != "",
		}
		if t.NHRP != nil {
			c.Cloud, c.Redirect = t.NHRP.NetworkID, t.NHRP.Redirect
			ns.Tunnels = append(ns.Tunnels, t.NHRP)
		}
		ts.Tunnels = append(ts.Tunnels, c)
	}
	for _, r := range cfg.Routes {
		rs.Routes = append(rs.Routes, static.Route(r))
	}
	l.Post(nhrp.Name, core.Request{Body: ns})
	l.Post(static.Name, core.Request{Body: rs})
	l.Post(tunnel.Name, core.Request{Body: ts})
}
