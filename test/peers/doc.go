// Package peers tests Spokeway against FRR, strongSwan and libreswan. The routers of a scene stand around one underlay:
// the others in guests with a Linux kernel of their own, for its kernel GRE and ESP, and spokeway as real processes in
// network namespaces. All that a case knows it asks the routers, in JSON where they have it, until the answer is right or
// the time is over. What Spokeway sent in a scene is decoded by tshark in the end; where it is protected, also decrypted
// with the keys that Spokeway exported.
//
//	scene_test.go      a scene: underlay, NAT, capture, cleaning up
//	router_test.go     what a case says of a router of either make
//	frr_test.go        FRR routers
//	spokeway_test.go   ours
//	extras_test.go     both on one kernel; a host on a LAN
//	ask_test.go        polling, rows, pings
//	decode_test.go     tshark's opinion of what we sent
//	protect*_test.go   protection at our end, and tshark's opinion of it
//	profiles_test.go   the protections, in our words and in those of strongSwan
//	*swan_test.go      protection at the guests' end
//	ospf_place_test.go what a router in a topology of OSPF is, whatever its make; ospf_{ours,frr,bird}_test.go say it
//	ospf_world_test.go such topologies on this machine's kernel; ospf_database_test.go compares link-state databases
//	bfd_scene_test.go  routers of three makes on links of this machine, for BFD
//	*_cases_test.go    the cases, one file a topology
//
// Left out: IPv6 underlays, which nhrpd has not, and IKEv1.
//
// The scripts beside it boot the guests and work without Go as well; README.md describes them. The cases need root, a
// tree made by ./install, tcpdump and tshark, and are skipped without them.
package peers
