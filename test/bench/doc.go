// Command bench measures the figures of docs/performance.md: `test/bench/run` builds it and the router, and runs it.
//
// Everything happens in network namespaces of its own, which are removed on every exit; what a killed run left is
// removed by the next. The systems compared are all set up at once and idle, and measured in rounds A B C …, every
// other round backwards. A figure is the median of the rounds' ratios, with the least and the greatest.
//
//	main.go        the command line
//	lab.go         namespaces and processes
//	router.go      Spokeway and wireguard-go as processes, and the CPU time they take
//	hubd.go        the router with pprof: the process behind the load and profile parts
//	static.go      the data plane alone, protected with static keys: what is measured is ESP, not IKE
//	iperf.go       iperf3
//	probe.go       our own ICMP prober, and the ear at the far end
//	stats.go       medians, percentiles, ratios; report.go tables and JSON; update.go into the document
//	throughput.go  between two namespaces: veth, VXLAN, wireguard-go, nebula, strongSwan, GRE and ESP, each also in UDP
//	others.go      nebula, and charon of the tree that test/peers/install makes
//	hub.go         spoke, hub, spoke
//	load.go        thousands of spokes register with one hub; generator.go is all of the spokes
//	fleet.go       thousands of spokes with IKE and NHRP of their own, on one thread: handshakes.go, against charon, too;
//	               protected.go what a hub holds for them, and how they come back after it was killed
//	shortcut.go    first packet to direct path, again and again
//	bfd.go         thousands of BFD sessions held, and what is taken for a failure: ours (bfd_ours.go), FRR and BIRD (bfd_others.go)
//	routes.go      a routing table into the kernel's, against ip -batch and BIRD; fibd.go is our process
//	ospf.go        a link-state database for FRR, BIRD and us: ospf_world.go makes it, ospf_feed.go floods it
//	failures.go    a hub, a line, a carrier, a router fails and comes back, again and again: the lab files with real processes
//	profile.go     where the time goes while bulk TCP runs
//
// Left out: physical interfaces, jumbo frames, more than two routers' worth of cores, lossy paths.
package main
