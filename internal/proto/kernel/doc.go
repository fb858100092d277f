// Package kernel is the module between the RIB and the kernel's routing table.
//
// The kernel's table is the truth. The edge reports it route by route ([Learned], [Forgotten]); this module
//
//   - offers connected prefixes and the routes of others (FRR, BIRD, ip route) to the RIB,
//   - writes what the RIB selects of our own protocols ([Install], [Remove]), under our protocol number
//     ([Protocol]) and with the administrative distance as metric, so that the kernel arbitrates between our
//     routes and those of others as an engineer expects,
//   - mirrors the table, whoever wrote it, to the data plane, and the host's addresses with it.
//
// An NHRP shortcut whose prefix equals a route of somebody else out of the same tunnel is not written: the
// kernel already sends those packets into the tunnel, so only the data plane is told the other next hop. What
// another daemon wrote is never changed, and it never sees a rival for it.
//
// Routes that an earlier process left behind stay until the modules have settled after a start, then those
// nobody wants any more are removed. A route of ours that the kernel dropped, because its interface went down
// or somebody deleted it, is written again.
//
// Prefixes that protected tunnels lead to have a guard beneath their routes ([Guard]): a blackhole that outlives them.
//
//	kernel.go  events, effects
//	module.go  the module: events in
//	guard.go   what stays closed when there is no tunnel and no process
//	show.go    what of the RIB is in the kernel, and why not
//	plan.go    what should be in the kernel and in the data plane
//
// Left out: tables other than main, type of service, source routes. That routes with the same next hops share one of the
// kernel's nexthop objects is the edge's to arrange.
package kernel
