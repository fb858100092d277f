// Package packet reads and writes what a router meets on the wire: IPv4 and IPv6, UDP, TCP as far as its MSS,
// ICMP errors and GRE. Parsers give views into the caller's bytes, appenders extend a slice, and nothing here
// allocates unless an appender's slice is too short.
//
//	checksum.go  the Internet checksum, whole and by increments
//	ip.go        views of IPv4 and IPv6, TTL, traffic class, flow hash
//	append.go    headers
//	ecn.go       congestion notification in tunnels
//	gre.go       GRE
//	icmp.go      ICMP errors and when they are due
//	mss.go       the TCP MSS clamp
//	fragment.go  IPv4 fragments
//
// Left out: reassembly (the kernel's), IPv4 options but for copying them, and IPv6 extension headers but for
// finding what follows them.
package packet
