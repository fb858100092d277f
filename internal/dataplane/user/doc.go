// Package user is the data plane that needs no kernel module: TUN devices above, sockets below, GRE between them.
//
//	plane.go    the forwarding contract: effects to devices and wires
//	gate.go     what may leave and what may enter
//	device.go   one tunnel: its TUN device and ICMP errors about its packets
//	wire.go     one underlay address: its sockets, shared by the tunnels there; socket.go their kinds; clear.go
//	            what comes in clear to a protected one
//	tx.go       TUN → wire: look up, cut superframes, send
//	rx.go       wire → TUN: GRE, ECN, redirects, fast path, merge
//	esp.go      what arrives as ESP; ike.go IKE beside it
//	batch.go    many packets into GRE or ESP, and into one system call
//	path.go     what fits on the way
//	segment.go  cutting the kernel's superframes; merge.go making them
//	inject.go   ICMP errors on their way to the kernel
//	flood.go    what one peer may send to the control plane
//	steer.go    a TUN queue for network control; control.go sockets for it
//	tap.go      who wants to see the packets
//	tun.go      the device; descriptor.go waiting for it; sys.go system calls
//
// Packets run to completion: one goroutine per TUN queue and one per socket, each with buffers of its own. They
// share the tables of package dataplane, which they read without a lock; nothing is allocated per packet. A batch
// is what was waiting anyway: a goroutine reads until there is no more, 64 times at most, sends, and waits in the runtime's poller.
//
// Raw GRE sockets have no segmentation offload, so each packet crosses the kernel alone, 64 per system call. GRE in
// UDP lets the kernel cut and join (UDP_SEGMENT, UDP_GRO) and is several times faster.
//
// ESP is where the copying is done. On the way out the cutter leaves each packet where the kernel wrote it; GRE's header
// goes over the packet before, the trailer over the one behind, which is put back, and the cipher writes the whole into the
// batch. On the way in the cipher puts each packet so that its payload is right behind the frame that is merged, its headers
// over the frame's end, which is put back; a packet that goes to another peer is opened where it can be sealed again. ESP in
// UDP, on port 4500, has the kernel cut and join; raw ESP crosses it packet by packet, like raw GRE.
//
// The outer header has DF set. The kernel learns the path's MTU from ICMP; a send it then refuses teaches the
// adjacency, and what does not fit is answered or, where it may be, fragmented. Three things leave without DF, by raw
// sockets that never receive, and the kernel fragments them: what a tunnel with FragmentOuter sends, IPv6 of 1280 octets that
// the path is too narrow for (RFC 2473 section 7.1), and sealed packets that were found too long only when they were sent.
// IKE does too, when it must.
//
// What the kernel does well it does: forwarding on a hub, unless fast-path is set; reassembly of outer fragments;
// fragmenting on the fast path. ICMP errors about packets are ours, limited in rate, from the tunnel's own address.
//
// Several cores: a TUN device has half as many queues as there are cores, from 4 on, and so has a UDP port. A raw
// socket cannot be shared without each getting everything. The kernel keeps a flow in one queue, so packets keep order.
//
// Network control, which is what has CS6, waits behind nothing: it has a TUN queue of its own, if the kernel lets us load the
// eBPF program that steers, and sockets of its own.
//
// An SA is good at the local address that it was made for alone: tunnels elsewhere may trust others. Where its peer's
// packets come from is not checked, but told: keys say who it is.
//
// Left out: link-local underlay addresses; an underlay in a VRF.
package user
