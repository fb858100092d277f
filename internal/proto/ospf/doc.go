// Package ospf is OSPFv2 (RFC 2328) and OSPFv3 (RFC 5340, with the IPv4 address family of RFC 5838) as one machine. What
// the versions have in common, which is nearly everything, is there once; they differ in how they name a neighbour, in what
// they originate and in which multicast groups they use.
//
//	module.go      events in; instances, links, groups
//	config.go      what is configured, and its defaults
//	instance.go    one router: areas, timers, what is done once an event is handled
//	area.go        an area; interface.go and election.go its interfaces (RFC 2328 9)
//	transport.go   packets in and out: checks, authentication, replay
//	hello.go       finding neighbours; neighbor.go their states (10); exchange.go telling each other the databases (10.6 to 10.9),
//	               patience.go when what was not answered is said again
//	flood.go       flooding, acknowledging, retransmitting (13); overload.go when there is too much of it
//	lsdb.go        the databases; age.go the age of what is in them (14)
//	originate.go   what we say of ourselves (12.4), originate3.go in OSPFv3; abr.go as a border router; external.go of
//	               what is outside, NSSAs included (RFC 3101)
//	schedule.go    when routes are computed, by package spf, and where they go; discard.go blackholes of what is told as one
//	restart.go     graceful restart, ours and others' (RFC 3623)
//	diagnose.go    problems; snapshot.go show; why.go why
//
// A handler changes state and marks what follows from it; [instance.settle] does that once, after the handler: it
// originates what says something new, lets LSAs at MaxAge go, and sends what was flooded and acknowledged in as few packets
// as hold it. What we originate is written down as what shall be said (origin); the machine compares that with the database,
// so that the same words are never flooded twice, and different ones not faster than the throttle lets them.
//
// In a cloud, OSPF gives way to NHRP: the host routes of neighbours on a shared point-to-multipoint network are not given to
// the routing table, and shortcuts are not redistributed. On point-to-multipoint, hellos go to the group and, to whoever
// sends his to us alone or is listed, also alone: so both ways of speaking understand us.
//
// Left out: virtual links, demand circuits (RFC 1793), metrics by type of service, traffic engineering, and segment routing.
// A router LSA of OSPFv3 is never split.
package ospf
