// Package nhrp is the Next Hop Resolution Protocol, RFC 2332, as dynamic multipoint VPNs use it: spokes register with
// hubs, hubs tell of shorter ways, and routers resolve what lies behind each other. One module is client and server on
// every tunnel of a router.
//
//	wire*.go     the codec
//	module.go    events in
//	tunnel.go    one interface: what all of it shares
//	client.go    registering: servers, clusters, retries (RFC 2332 section 5.2.3)
//	server.go    being registered with; purges and errors (5.2.3, 5.2.5, 5.2.7)
//	cache.go     bindings: protocol address to endpoint, and the adjacencies and host routes they make
//	resolve.go   asking: phase 2 by a missing adjacency, phase 3 by a redirect (5.2.1)
//	answer.go    answering, passing on, redirecting, taking answers back
//	peer.go      whether a resolved peer answers through the direct path
//	shortcut.go  prefixes reached through peers, as routes
//	place.go     who a peer is: an SA, or an endpoint; protection.go the SAs that IKE tells of, and what hangs on them
//	hubsa.go     which of them leads to a server; members.go whom the data plane listens to
//	limit.go     what one peer may make us do
//	liveness.go  paths that BFD watches
//	snapshot.go  show; why.go  why
//
// A binding has up to three sources: we are registered there, it is registered here, or we resolved it. It has an
// adjacency in the data plane while one of them is good. On a protected tunnel all of them are known by SA rather than by
// address. A shortcut waits until its peer has answered through the direct path, so that making one loses no packet.
//
// Left out: address aggregation by a registration (RFC 2332 section 5.2.3 allows clients to register prefixes; each
// registers itself), server synchronisation (RFC 2334), and Cisco's vendor attributes, which are passed on unread.
package nhrp
