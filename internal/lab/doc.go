// Package lab plays a scenario for real: every node and every network is a network namespace, every router a
// process of its own.
//
// A network is a namespace with bridges: one for a LAN; for a provider one per site, with routing between them.
// A link is a veth pair from the node to the bridge. A link with delay, loss or a rate is that pair with netem on
// both ends where the kernel has it, and otherwise two TAP devices with a forwarder of ours between them
// ([Forward], a child process), which holds every frame as long as the link says.
//
// What a run makes is written into its folder under /run/spokeway-lab before it is made, with the process that
// owns it. It is removed on every way out; what a killed run left is removed by the next one.
//
//	lab.go      Run, Play, Up, Down, Exec, List
//	folder.go   the run folder: owners and leftovers
//	space.go    network namespaces, and the one thread that enters them
//	world.go    the world of a scenario
//	wire.go     networks, links, cuts
//	offload.go  frames as on a wire
//	node.go     addresses, routes, sysctls, address translation
//	daemon.go   the routers' processes
//	ping.go     echo requests and paths, without a tool
//	iperf.go    throughput, with iperf3
//	forward.go  the forwarder; queue.go its delay line
//	needs.go    what the host must have
//
// Left out: anything that outlives the machine, and networks that lead out of it.
package lab
