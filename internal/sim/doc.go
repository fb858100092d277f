// Package sim runs many routers in one world on a virtual clock: the same modules as on a real host, with this
// package as their edge.
//
// Everything is a value or a call on one goroutine. A world is nodes and networks; what happens later is a task of
// the clock; chance comes from one seed. So an hour of a thousand routers takes minutes, and one seed gives one
// trace, bit for bit. Two things are played in such worlds: scenario files ([Stage]), the same that package lab plays
// with real processes, and generated clouds under faults with invariants held after every event ([Play]).
//
//	clock.go      virtual time: a heap of tasks
//	world.go      worlds and nodes
//	network.go    networks: delay, jitter, loss, reordering, duplication, rate, MTU, cuts, partitions
//	kernel.go     a node's kernel: interfaces, forwarding, ICMP
//	listen.go     packets of protocols that modules speak themselves, such as OSPF
//	fib.go        its routing table, and what netlink tells of it
//	nat.go        address translation
//	process.go    a router's process: its loop, its data plane, and the edge between them and the node
//	assemble.go   a configuration made a running router
//	source.go     what its operator sees
//	probe.go      ping and path
//	trace.go      what happened: a digest, and lines for people
//	scenario.go   the world of a scenario file
//	generate.go   clouds of hubs and spokes
//	story.go      what happens to them: traffic and faults
//	invariants.go what must hold whatever happens
//	fuzz.go       one seed, one run
//
// Left out: octets of user traffic (a datagram has a size, not a content), fragments, ARP, queues other than a
// link's rate. The wall clock is not simulated, since nothing inside a router can read one.
package sim
