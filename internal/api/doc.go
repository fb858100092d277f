// Package api lets people and programs ask a running router: HTTP with JSON over a Unix socket, and metrics on a
// TCP address of the operator's choice.
//
//	socket.go    the control socket: one daemon each, mode 0660, who is calling
//	server.go    the requests, who may make them, and their limits
//	capture.go   packets of a peer, streamed
//	client.go    the other end, with errors that say what to do
//	metrics.go   the Prometheus listener
//
// Whoever may open the socket may look. Changing something (clear, reload, debug), and reading what peers send
// (capture), takes root or the daemon's own user. What is asked for is answered by a [query.Source]; package api knows no protocol.
package api
