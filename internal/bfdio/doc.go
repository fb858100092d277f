// Package bfdio drives BFD sessions on real sockets, in a loop of its own: BFD whose packets are late is worse than none,
// and beside the garbage collector of a large router they are.
//
// There is one loop, which has all the sessions. It runs in a thread of this process or, for intervals that this thread
// cannot keep, in a process of its own: the program executes itself again with a small heap that does not grow, before
// others, and with no rights but its sockets. Either way the router talks with it over a socket pair, in frames.
//
//	router ── Runner ══ socket pair ══ loop ── Engine (proto/bfd)
//	                        ║            └──── UDP 3784, 4784; raw sockets to send by
//	                      keeper
//
// A worker that dies is started again by its keeper, a process that does nothing else: the router itself has given up to
// start programs (package sys). Meanwhile paths are unknown, not down; the sessions go on where they were in the next
// worker, and a peer that was not silent for its detection time has not noticed. All of them end when the router does,
// however that happens: they see the socket pair end, and the kernel kills the worker of a keeper that died. A confined
// router signals nobody (Landlock), so that a keeper which somebody has stopped ends when it goes on.
//
//	frame.go   what goes over the socket pair
//	socket.go  UDP in, raw out
//	filter.go  what names a session apart from the rest
//	loop.go    the loop
//	runner.go  the router's side
//	worker.go  keeper and worker
package bfdio
