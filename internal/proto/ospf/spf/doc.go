// Package spf computes the routes of an OSPF instance from its link-state database: RFC 2328 section 16 with the stub
// and NSSA rules of RFC 3101, and RFC 5340 section 4.8 for version 3, as a function from values to values.
//
// [Compute] does it once. A [Calculation] does it again and again and repeats only what a [Change] calls for: an
// external LSA that came does not make it walk the areas, and an area whose graph changed leaves the others alone.
//
// graph.go makes the graph of one area out of router- and network-LSAs, dijkstra.go finds the shortest paths and next
// hops in it (16.1 and 16.1.1), intra.go hangs the prefixes on it, inter.go adds what border routers summarize (16.2),
// external.go what border routers of the autonomous system bring in (16.4), table.go holds the routing table between
// these steps, diff.go compares two results. Versions differ in where links, prefixes and next hops are read from and
// in nothing else.
//
// Left out: virtual links of our own, and with them the transit areas of 16.3 (others' are links like any); TOS; MOSPF.
package spf
