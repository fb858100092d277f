package router

import (
	"io"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/proto/static"
	"github.com/spokeway/spokeway/internal/proto/tunnel"
)

// Modules are those of one router that [Assemble] made.
type Modules struct {
	NHRP *nhrp.Module
	IKE  *ike.Module
	BFD  *bfd.Module
	OSPF *ospf.Module

	Static *static.Module
	Kernel *kernel.Module
}

// Assemble puts a router's modules on a loop. What they stored before is given back to them. Keys come from random.
func Assemble(l *core.Loop, stored map[string]string, random io.Reader) Modules {
	m := Modules{NHRP: nhrp.New(), IKE: ike.New(random), BFD: bfd.New(), OSPF: ospf.New(), Static: static.New(), Kernel: kernel.New()}
	// IKE hears of a tunnel that moved before NHRP, which asks it. The kernel module is last: when all stop, routes go only after NHRP has sent its goodbyes by them.
	for _, module := range []core.Module{tunnel.New(), m.Static, m.IKE, m.NHRP, m.BFD, m.OSPF, m.Kernel} {
		l.Add(module, core.Start{Stored: stored})
	}
	return m
}

// Configure tells the modules what a configuration wants of them. Each acts on what differs from before.
func Configure(l *core.Loop, c *conf.Config) {
	var tunnels tunnel.Configure
	var clouds nhrp.Configure
	var routes static.Configure
	var protection ike.Configure
	for _, p := range c.Profiles {
		protection.Profiles = append(protection.Profiles, profile(p))
	}
	for _, t := range c.Tunnels {
		tunnels.Tunnels = append(tunnels.Tunnels, tunnelConfig(t))
		if t.Protect != "" {
			protection.Tunnels = append(protection.Tunnels, ike.Tunnel{Name: t.Name, Profile: t.Protect, Encapsulation: t.Carrier})
		}
		if t.NHRP != nil {
			clouds.Tunnels = append(clouds.Tunnels, t.NHRP)
		}
	}
	for _, r := range c.Routes {
		routes.Routes = append(routes.Routes, static.Route(r))
	}
	l.Post(bfd.Name, core.Request{Body: watched(c)})
	// NHRP says goodbye on a tunnel before it goes, so it hears first.
	l.Post(ike.Name, core.Request{Body: protection})
	l.Post(nhrp.Name, core.Request{Body: clouds})
	l.Post(tunnel.Name, core.Request{Body: tunnels})
	l.Post(static.Name, core.Request{Body: routes})
	l.Post(ospf.Name, core.Request{Body: ospf.Configure{Instances: c.OSPFInstances()}})
	l.Post(kernel.Name, core.Request{Body: kernel.Guard{Prefixes: guarded(c), Tunnels: closing(c), Underlay: underlay(c)}})
}

func profile(p conf.Profile) *ike.Profile {
	out := *p.IKE
	out.Fingerprint = p.Fingerprint()
	return &out
}

// Receiver is the module that an event of the data plane is for.
func Receiver(ev any) string {
	switch ev.(type) {
	case dataplane.ReceivedIKE, dataplane.Worn, dataplane.Opened, dataplane.Roamed, dataplane.UnknownSPI, dataplane.Carried:
		return ike.Name
	}
	return nhrp.Name
}

func tunnelConfig(t conf.Tunnel) tunnel.Config {
	c := tunnel.Config{
		Name: t.Name, VRF: t.VRF, UnderlayInterface: t.UnderlayInterface, UnderlayAddress: t.UnderlayAddress,
		UnderlayIPv6: t.UnderlayIPv6, Addresses: t.Addresses, Key: t.Key, MTU: t.MTU, TTL: t.TTL, ClampMSS: t.ClampMSS,
		Encapsulation: t.Encapsulation, FastPath: t.FastPath, Protected: t.Protect != "", Profile: t.Protect,
		Wrap: t.Wrap, FragmentOuter: t.FragmentOuter,
	}
	if t.NHRP != nil {
		c.Cloud, c.Redirect = t.NHRP.NetworkID, t.NHRP.Redirect
	}
	return c
}
