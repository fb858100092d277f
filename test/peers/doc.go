// Package peers tests Spokeway against FRR. The routers of a scene stand around one underlay: FRR in guests with a
// Linux kernel of their own, for its kernel GRE, and spokeway as real processes in network namespaces. All that a case
// knows it asks the routers, in JSON, until the answer is right or the time is over. What Spokeway sent in a scene is
// decoded by tshark in the end.
//
//	scene_test.go      a scene: underlay, NAT, capture, cleaning up
//	router_test.go     what a case says of a router of either make
//	frr_test.go        FRR routers
//	spokeway_test.go   ours
//	extras_test.go     both on one kernel; a host on a LAN
//	ask_test.go        polling, rows, pings
//	decode_test.go     tshark's opinion of what we sent
//	*_cases_test.go    the cases, one file a topology
//
// Left out: IPv6 underlays, which nhrpd has not, and protection.
//
// The scripts beside it boot the guests and work without Go as well; README.md describes them. The cases need root, a
// tree made by ./install, tcpdump and tshark, and are skipped without them.
package peers
