package sim

import (
	"encoding/binary"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/rib"
)

// prober is what runs a process's BFD sessions: on a host a loop of its own, here an engine on the world's clock.
type prober struct {
	p      *process
	engine *bfd.Engine
	wake   time.Duration // the next run that is set; -1: none
}

// do does an effect of the BFD module; false when it is none.
func (b *prober) do(p *process, effect core.Effect) bool {
	now := p.node.world.Now()
	switch effect.(type) {
	case bfd.Set, bfd.Delete, bfd.Halt:
		if b.engine == nil {
			*b = prober{p, bfd.NewEngine(p.node.world.chance("bfd of " + p.node.Name)), -1}
		}
	}
	switch e := effect.(type) {
	case bfd.Set:
		b.engine.Set(now, e.Spec)
	case bfd.Delete:
		b.engine.Delete(now, e.ID)
	case bfd.Halt:
		b.engine.Halt(now)
	default:
		return false
	}
	b.settle()
	return true
}

// settle sends and reports what came of the last call, and sets the next.
func (b *prober) settle() {
	for _, s := range b.engine.Sends() {
		b.p.node.sendBFD(s)
	}
	for {
		reports := b.engine.Reports(64)
		if len(reports) == 0 {
			break
		}
		for _, r := range reports {
			b.p.post(bfd.Name, r)
		}
	}
	b.setAlarm()
}

func (b *prober) setAlarm() {
	next, ok := b.engine.Next()
	clock := &b.p.node.world.clock
	if !ok || b.wake > clock.now && b.wake <= next {
		return
	}
	at := max(next, clock.now)
	b.wake = at
	clock.at(at, func() {
		if b.wake != at || b.p.ended {
			return
		}
		b.wake = -1
		if b.p.frozen {
			b.wake = clock.now + time.Second
			clock.at(b.wake, b.setAlarm)
			return
		}
		b.engine.Expire(clock.now)
		b.settle()
	})
}

const udpHeader = 8

// sendBFD sends out of the interface of a session, whatever the routes say; over several hops by the routes.
func (n *Node) sendBFD(s bfd.Send) {
	port := uint16(bfd.SinglePort)
	if s.Spec.Multihop {
		port = bfd.MultiPort
	}
	var header [udpHeader]byte
	binary.BigEndian.PutUint16(header[0:], s.Spec.Port)
	binary.BigEndian.PutUint16(header[2:], port)
	binary.BigEndian.PutUint16(header[4:], udpHeader+bfd.PacketLen)
	payload := append(header[:], s.Payload[:]...)
	d := &dataplane.Datagram{
		Source: s.Spec.Local, Destination: s.Spec.Peer, TTL: bfd.TTL, Class: 0xc0,
		Size: dataplane.HeaderLen(s.Spec.Peer) + len(payload), Body: dataplane.Other{Protocol: packet.UDP, Payload: payload},
	}
	if s.Spec.Multihop {
		n.send(d)
		return
	}
	for _, out := range n.interfaces {
		if out.index == s.Spec.Index && !out.down {
			n.transmit(nil, out, rib.NextHop{Interface: out.Name}, d)
			return
		}
	}
	n.count("bfd: no interface, or it is down")
}

// probed gives a datagram to the process's sessions; false when it is none of BFD.
func (p *process) probed(in *Interface, d *dataplane.Datagram) bool {
	body, ok := d.Body.(dataplane.Other)
	if !ok || p == nil || p.bfd.engine == nil || p.frozen || body.Protocol != packet.UDP || len(body.Payload) < udpHeader || p.node.local[d.Destination] == nil {
		return false
	}
	port := binary.BigEndian.Uint16(body.Payload[2:])
	if port != bfd.SinglePort && port != bfd.MultiPort {
		return false
	}
	p.bfd.engine.Receive(p.node.world.Now(), bfd.Received{
		Peer: d.Source, Local: d.Destination, Index: in.index, TTL: d.TTL, Multihop: port == bfd.MultiPort, Payload: body.Payload[udpHeader:],
	})
	p.bfd.settle()
	return true
}
