// Package router is the composition root: a configuration in, a running router out.
//
//	assemble.go  modules on a loop, and a configuration as their requests: pure, the simulator uses it too
//	guard.go     which prefixes nothing but a protected tunnel may reach
//	router.go    the loop on the real clock, between the Linux edge and the data plane
//	queue.go     the way into the loop from other goroutines
//	view.go      what an operator sees of a router, real or simulated
//	source.go    the same, asked from other goroutines
package router
