// Package bfd watches the paths to neighbours: Bidirectional Forwarding Detection, RFC 5880, over one hop (RFC 5881) and
// several (RFC 5883).
//
// It has two halves. The [Module] lives on the router's loop: others ask it by [liveness.Watch], it gives each target one
// session with a discriminator and a source port, and tells who asked what became of it. The [Engine] is where sessions
// live: packets in, packets out, one heap of timers. It runs where time is kept best, which is not the loop of a large
// router: package bfdio drives it in a thread or a process of its own, package sim on a virtual clock. Between the two go
// [Set], [Delete] and [Halt] as effects, [Report], [Lost] and [Ready] as events; all that a session must know to go on after
// its engine has died is in them.
//
// A path that fails is told as liveness.Down only if it worked before; a peer that switches BFD off, or an engine that
// dies, is no failure (RFC 5882 section 3.2). When we stop, our forwarding stops with us, so the peers hear Down and not
// AdminDown: they should not wait for anything.
//
//	wire.go    the packet, RFC 5880 section 4
//	fsm.go     states and transitions, section 6.2 and 6.8
//	engine.go  sessions by discriminator and by address, reception (6.8.6)
//	session.go one session: transmission (6.8.7), negotiation (6.8.2, 6.8.3), detection (6.8.4), poll, demand
//	timer.go   the heap
//	module.go  who watches what
//	show.go    rows
//
// Left out: authentication (section 6.7), as the tunnels that need it are in ESP, which covers what crosses them; a packet
// that claims it is dropped. The echo function, which needs the peer's forwarding to turn our packets round. The C bit is
// never set: this BFD ends with its router, and the forwarding with both.
package bfd
