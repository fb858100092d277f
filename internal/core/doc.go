// Package core makes a router a value.
//
// A router is a [Loop]: modules, one FIFO of events, one heap of timers, one [rib.RIB]. Everything that
// happens is an [Event] given to a [Module]; everything a module wants is appended to its [Env]: effects for
// the edge, routes for the RIB, timers, and requests to other modules. Time and randomness are given. Nothing
// here blocks, reads a clock, or starts a goroutine, so a thousand routers run in one test and one seed gives
// one trace.
//
// The edge ([Edge]) turns effects into sockets, devices and netlink messages, and what those say into events.
// Package router drives a loop on the real clock; package sim drives many on a virtual one.
//
//	core.go   events, effects, modules
//	env.go    what a module may do
//	packet.go packets of IP protocols that a module speaks itself
//	loop.go   the loop
//	timer.go  the heap of timers
package core
