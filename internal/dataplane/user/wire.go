package user

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// wire is the sockets of one underlay address and encapsulation. All tunnels with that address share it, told
// apart by their key.
type wire struct {
	shared
	plane    *Plane
	at       place
	sockets  []*socket      // the main ones, by queue
	others   [kinds]*socket // for fragments, and what protection needs besides
	control  [kinds]*socket // twins of those that bulk comes by, for network control
	segments atomic.Bool    // the kernel cuts and joins datagrams (UDP_SEGMENT)
	members  atomic.Pointer[[]member]
	running  sync.WaitGroup

	probing sync.Mutex // of the slow path that learns a path's MTU
	probe   int
}

// place is what a wire is known by.
type place struct {
	local         netip.Addr
	encapsulation dataplane.Encapsulation
}

// member is a tunnel on the wire; members are in order of name.
type member struct {
	key    dataplane.Key
	device *device
}

// openWire opens the sockets of a place.
func openWire(p *Plane, at place, queues int) (*wire, error) {
	w := &wire{plane: p, at: at, probe: -1}
	w.members.Store(&[]member{})
	w.open(func() { w.closeSockets() })
	w.segments.Store(w.main().bulk())
	err := w.openProbe()
	if err == nil {
		err = w.openSockets(queues)
	}
	if err != nil {
		w.release()
		return nil, err
	}
	return w, nil
}

// main is the kind of the sockets that carry the bulk.
func (w *wire) main() kind {
	return [...]kind{dataplane.GRE: rawGRE, dataplane.GREUDP: udpGRE, dataplane.ESP: udpESP}[w.at.encapsulation]
}

// openSockets opens the main ones and the others. Several share a UDP port, and the kernel gives each
// its part of the flows; raw sockets would each get everything, so there is one.
func (w *wire) openSockets(queues int) error {
	main := w.main()
	if main.raw() {
		queues = 1
	}
	for i := range queues {
		s, err := openSocket(main, w.at.local, i > 0)
		if err != nil {
			return err
		}
		w.sockets = append(w.sockets, s)
	}
	others := [...][]kind{
		dataplane.GRE: {cutGRE}, dataplane.GREUDP: {cutUDP}, dataplane.ESP: {udpIKE, rawESP, rawGRE, cutUDP, cutESP},
	}
	for _, k := range others[w.at.encapsulation] {
		s, err := openSocket(k, w.at.local, false)
		if err != nil {
			return err
		}
		w.others[k] = s
	}
	w.heed()
	return w.openControl()
}

// every is all of the wire's sockets.
func (w *wire) every() []*socket {
	list := slices.Clone(w.sockets)
	for _, s := range slices.Concat(w.others[:], w.control[:]) {
		if s != nil {
			list = append(list, s)
		}
	}
	return list
}

// kindFor is the kind of socket that a packet leaves by.
func (w *wire) kindFor(o *outgoing) kind {
	switch udp, esp := o.to.Port() != 0, w.at.encapsulation == dataplane.ESP; {
	case o.cut && udp:
		return cutUDP
	case o.cut && esp:
		return cutESP
	case o.cut:
		return cutGRE
	case esp && !udp:
		return rawESP
	}
	return w.main()
}

// through is the socket of a kind, for one who sends by the main socket s.
func (w *wire) through(k kind, s *socket) *socket {
	if k == w.main() {
		return s
	}
	return w.others[k]
}

func (w *wire) closeSockets() {
	for _, s := range w.every() {
		s.close()
	}
	if w.probe >= 0 {
		unix.Close(w.probe)
	}
}

// putClass says with which traffic class and TTL a message leaves, where they are not the socket's own.
func (w *wire) putClass(c *control, class, ttl uint8) {
	if ttl == 0 {
		ttl = defaultTTL
	}
	if w.at.local.Is6() {
		if class != 0 {
			c.putInt(unix.SOL_IPV6, unix.IPV6_TCLASS, int32(class))
		}
		if ttl != defaultTTL {
			c.putInt(unix.SOL_IPV6, unix.IPV6_HOPLIMIT, int32(ttl))
		}
		return
	}
	if class != 0 {
		c.putInt(unix.SOL_IP, unix.IP_TOS, int32(class))
	}
	if ttl != defaultTTL {
		c.putInt(unix.SOL_IP, unix.IP_TTL, int32(ttl))
	}
}

// endpoint is e as the wire knows peers: raw sockets have no ports, and UDP's is the well-known one unless said.
func endpoint(e netip.AddrPort, encapsulation dataplane.Encapsulation) netip.AddrPort {
	switch {
	case encapsulation == dataplane.ESP: // the SA knows
		return e
	case encapsulation == dataplane.GRE:
		return netip.AddrPortFrom(e.Addr(), 0)
	case e.Port() == 0:
		return netip.AddrPortFrom(e.Addr(), dataplane.UDPPort)
	}
	return e
}

// join makes a tunnel a member, or says whose the key is.
func (w *wire) join(key dataplane.Key, d *device) error {
	members := *w.members.Load()
	if i := slices.IndexFunc(members, func(m member) bool { return m.key == key }); i >= 0 {
		return fmt.Errorf("%s has this key on %s already: give one of them another key", members[i].device.name, w.at.local)
	}
	members = append(slices.Clone(members), member{key, d})
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.device.name, b.device.name) })
	w.members.Store(&members)
	w.heed()
	return nil
}

// leave reports whether nobody is left.
func (w *wire) leave(d *device) bool {
	members := slices.DeleteFunc(slices.Clone(*w.members.Load()), func(m member) bool { return m.device == d })
	w.members.Store(&members)
	w.heed()
	return len(members) == 0
}

// drop counts what cannot be told whose it is on the first tunnel.
func (w *wire) drop(why dataplane.Reason) {
	if members := *w.members.Load(); len(members) > 0 {
		members[0].device.tunnel.Drop(why)
	}
}

// find is the tunnel with that key, nil when there is none.
func find(members []member, key dataplane.Key) *device {
	for i := range members {
		if members[i].key == key {
			return members[i].device
		}
	}
	return nil
}

func (w *wire) start() {
	for i, s := range w.sockets {
		w.running.Go(newReceiver(w, s, i).loop)
	}
	for _, s := range slices.Concat(w.others[:], w.control[:]) {
		if s != nil && !s.kind.deaf() {
			w.running.Go(newReceiver(w, s, 0).loop)
		}
	}
}

func (w *wire) stop() {
	for _, s := range w.every() {
		s.end()
	}
	w.running.Wait()
	w.release()
}
