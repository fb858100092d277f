package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/scenario"
)

// queueLimit is how long a datagram waits for a link with a rate before it is dropped.
const queueLimit = 200 * time.Millisecond

// Link is what happens to a datagram between an interface and its network, in either direction. A path between
// two interfaces crosses two links.
type Link struct {
	scenario.Link
	Reorder float64 // chance to be held back for as long again
}

// Network is one segment: every port reaches every other, unless something is cut.
type Network struct {
	Name  string
	world *World
	ports []*Interface
	owner map[netip.Addr]*Interface
	cut   bool
	sides map[*Interface]int // of a partition; a port not named is on side 0
}

func (w *World) addNetwork(name string) *Network {
	n := &Network{Name: name, world: w, owner: map[netip.Addr]*Interface{}}
	w.networks = append(w.networks, n)
	return n
}

// claim records who answers for an address on this network; of two claimants the later one wins, as with ARP.
func (n *Network) claim(i *Interface, a netip.Addr) { n.owner[a] = i }

func (n *Network) disclaim(i *Interface, a netip.Addr) {
	if n.owner[a] == i {
		delete(n.owner, a)
	}
}

// send carries d from a port to whoever has the address. It reports whether anybody on this network does; what is
// lost on the way was still sent.
func (n *Network) send(from *Interface, to netip.Addr, d *dataplane.Datagram) bool {
	if to.IsMulticast() {
		for _, port := range n.ports {
			if port != from {
				n.carry(from, port, d)
			}
		}
		return true
	}
	port := n.owner[to]
	if port == nil {
		return false
	}
	n.carry(from, port, d)
	return true
}

func (n *Network) carry(from, to *Interface, d *dataplane.Datagram) {
	if n.cut || from.cut || to.cut || n.sides[from] != n.sides[to] || n.world.blocked[pair{d.Source, d.Destination}] {
		return
	}
	if d.Largest() > min(from.link.Size(), to.link.Size()) && d.DF {
		return
	}
	t, ok := from.cross(d.Size)
	u, ok2 := to.cross(d.Size)
	if !ok || !ok2 {
		return
	}
	n.arrive(to, d, t+u)
	if from.twice() || to.twice() {
		n.arrive(to, d, t+u)
	}
}

func (n *Network) arrive(to *Interface, d *dataplane.Datagram, in time.Duration) {
	n.world.clock.after(in, func() {
		if !to.cut {
			to.receive(d)
		}
	})
}

// cross is how long a datagram takes over the interface's link; false when it is lost there.
func (i *Interface) cross(size int) (time.Duration, bool) {
	l, chance := &i.link, i.node.world.faults
	if l.Loss > 0 && chance.Float64() < l.Loss {
		return 0, false
	}
	t := l.Delay
	if l.Jitter > 0 {
		t += time.Duration(chance.Int64N(2*int64(l.Jitter)+1)) - l.Jitter
	}
	if l.Reorder > 0 && chance.Float64() < l.Reorder {
		t += l.Delay + l.Jitter
	}
	if l.Rate > 0 {
		wait, ok := i.queue(size)
		return max(t, 0) + wait, ok
	}
	return max(t, 0), true
}

// queue is the wait for a link's rate.
func (i *Interface) queue(size int) (time.Duration, bool) {
	now := i.node.world.clock.now
	start := max(now, i.busy)
	if start-now > queueLimit {
		return 0, false
	}
	i.busy = start + time.Duration(uint64(size)*8*uint64(time.Second)/i.link.Rate)
	return i.busy - now, true
}

func (i *Interface) twice() bool {
	return i.link.Duplicate > 0 && i.node.world.faults.Float64() < i.link.Duplicate
}

// pair is a direction between two addresses.
type pair struct{ from, to netip.Addr }

// block drops, or lets through again, everything between two sets of addresses.
func (w *World) block(a, b []netip.Addr, on bool) {
	for _, x := range a {
		for _, y := range b {
			if on {
				w.blocked[pair{x, y}], w.blocked[pair{y, x}] = true, true
			} else {
				delete(w.blocked, pair{x, y})
				delete(w.blocked, pair{y, x})
			}
		}
	}
}

func (n *Network) attach(i *Interface) {
	n.ports = append(n.ports, i)
	i.net = n
}

func (n *Network) detach(i *Interface) {
	n.ports = slices.DeleteFunc(n.ports, func(p *Interface) bool { return p == i })
	for _, p := range i.addrs {
		n.disclaim(i, p.Addr())
	}
}
