// Package user is the data plane that needs no kernel module: TUN devices above, sockets below, GRE between them.
//
//	plane.go    the forwarding contract: effects to devices and wires
//	device.go   one tunnel: its TUN device and ICMP errors about its packets
//	wire.go     one underlay address: its sockets, shared by the tunnels there
//	tx.go       TUN → wire: look up, cut superframes, GRE, send
//	rx.go       wire → TUN: GRE, ECN, redirects, fast path, merge
//	batch.go    many packets in one system call
//	segment.go  cutting the kernel's superframes; merge.go making them
//	inject.go   ICMP errors on their way to the kernel
//	flood.go    what one peer may send to the control plane
//	tun.go, sys.go  the device and the system calls
//
// Packets run to completion: one goroutine per TUN queue and one per socket, each with buffers of its own. They
// share the tables of package dataplane, which they read without a lock; nothing is allocated per packet. A batch
// is what was waiting anyway: a goroutine reads until there is no more, 64 times at most, sends, and sleeps in poll.
//
// Raw GRE sockets have no segmentation offload, so each packet crosses the kernel alone, 64 per system call. GRE in
// UDP lets the kernel cut and join (UDP_SEGMENT, UDP_GRO) and is several times faster.
//
// The outer header has DF set. The kernel learns the path's MTU from ICMP; a send it then refuses teaches the
// adjacency, and what does not fit is answered or, where it may be, fragmented.
//
// Raw IPv6 sockets learn from ICMP only with an error queue, which is emptied unread.
//
// What the kernel does well it does: forwarding on a hub, unless fast-path is set; reassembly of outer fragments;
// fragmenting on the fast path. ICMP errors about packets are ours, limited in rate, from the tunnel's own address.
//
// Several cores: a TUN device has half as many queues as there are cores, from 4 on, and so has a UDP port. A raw
// socket cannot be shared without each getting everything. The kernel keeps a flow in one queue, so packets keep order.
//
// Left out: fragmenting the outer packet, which an IPv6 packet of 1280 octets would need on an underlay whose own
// MTU is under 1324 (RFC 2473 section 7.1); link-local underlay addresses; an underlay in a VRF; and protection. A
// protected tunnel sends and accepts nothing, at two gates: mayLeave and mayEnter.
package user
