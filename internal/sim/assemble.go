package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/router"
)

// run makes a node a router with this configuration; [Node.start] starts it.
func (n *Node) run(cfg *conf.Config) {
	n.forwarding = n.forwarding || cfg.Forwarding
	n.config = cfg
}

// load puts the router's modules on the loop and gives them the configuration, as package router does on a host.
func (p *process) load() {
	p.modules = router.Assemble(p.loop, p.node.stored, p.node.keys())
	p.configure(nil)
}

// keys is where a process has its keys, nonces and SPIs from: the same for the same seed, others after a restart.
func (n *Node) keys() *rand.ChaCha8 {
	var seed [32]byte
	chance := n.world.chance("keys of " + n.Name + " " + strconv.Itoa(n.boots))
	for k := 0; k < len(seed); k += 8 {
		binary.LittleEndian.PutUint64(seed[k:], chance.Uint64())
	}
	return rand.NewChaCha8(seed)
}

// reload gives a running router another configuration.
func (n *Node) reload(cfg *conf.Config) {
	old := n.config
	n.run(cfg)
	n.router.configure(old)
	n.router.rouse()
}

func (p *process) configure(old *conf.Config) {
	cfg := p.node.config
	listed := map[string]bool{}
	for _, i := range cfg.Interfaces {
		listed[i.Name] = true
		p.node.configure(core.SetInterface{Name: i.Name, Addresses: i.Addresses, MTU: i.MTU})
	}
	if old != nil {
		for _, i := range old.Interfaces {
			if !listed[i.Name] {
				p.node.configure(core.SetInterface{Name: i.Name})
			}
		}
	}
	router.Configure(p.loop, cfg)
}
