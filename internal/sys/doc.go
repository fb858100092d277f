// Package sys is the Linux edge: it does what modules ask of the host and reports what happens there.
//
// [Edge] follows interfaces, addresses and routes of others through one netlink socket, so that they are told in the order in
// which they happened, and keeps a copy of them. Of our own routes the kernel's answers tell. Whatever the kernel does not tell (it drops IPv4 routes of an
// interface that goes down without a word; a full socket loses messages) is found by reading everything again and
// reporting the difference. Effects are done by worker goroutines, in order per kind: [Edge.Do] never waits.
//
//	edge.go      Edge: options, start, effects, close
//	queue.go     queues between the loop and the workers
//	netlink.go   sockets: requests in batches, dumps, subscription
//	message.go   rtnetlink messages to values; total
//	compose.go   values to rtnetlink messages
//	view.go      the copy of the host's interfaces and routes, and what differs
//	watch.go     the goroutine that keeps the copy
//	address.go   core.SetInterface
//	route.go     kernel.Install and kernel.Remove: batches, routes that move together
//	objects.go   the kernel's nexthop objects that routes share
//	raw.go       core.Listen and core.SendIP: raw sockets
//	sysctl.go    forwarding, and what a tunnel device needs
//	dns.go       core.Resolve
//	store.go     core.Store: one file
//	clock.go     the time since boot
//	systemd.go   sd_notify
//	doctor*.go   is this host fit for it
//	confine.go   what a running router gives up: capabilities; landlock.go files; seccomp*.go system calls
//	preflight.go may this process make tunnels at all
//
// Left out: tables other than main, VRF devices, and sockets and devices that carry packets (package
// dataplane/user has those).
package sys
