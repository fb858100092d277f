// Package wire is the codec of OSPF: RFC 2328 appendix A for OSPFv2 and RFC 5340 appendix A for OSPFv3, with the
// authentication of RFC 2328 appendix D, RFC 5709, RFC 7474 and RFC 7166. It turns octets into values and back, and
// decides only what can be decided without state.
//
// The two versions have one set of types. Where they differ, a field says which version it is of, and the [Version] that
// all functions take picks the form. The options have one numbering, see [Options]; LS types have that of the wire, and
// [LSAType.Function] and [LSAType.Scope] say what they mean. OSPFv3 for IPv4 (RFC 5838) is [V3IPv4]: the same packets, but
// the prefixes in LSAs, whose family no octet tells, are IPv4.
//
// [Parse] reads a packet into views of its octets. Its checksum has been looked at; authentication is proven by
// [Packet.Verify], for which the caller knows the keys. An LSA keeps its octets, since it is flooded as it came: the LSAs of
// an [Update] are cut out by their lengths, [LSA.Check] says whether one may be installed, [LSA.Body] reads it, and [Build]
// makes our own.
//
// Any octets are safe, and memory is bounded by a small multiple of them. The parsers are strict: lengths add up to the
// last octet, masks have no holes. Reserved fields are ignored, and metrics for types of service are skipped.
//
// Files:
//
//	wire.go     versions, identifiers, options, constants, errors
//	packet.go   packets: the header, checksums, what follows a packet
//	auth.go     keys, digests, trailers
//	body.go     Hello, Database Description, Request, Update, Ack
//	lsa.go      types, keys and headers of LSAs, which one is newer, the Fletcher checksum
//	lsabody.go  what LSAs say
//	prefix.go   prefixes and addresses of OSPFv3
//
// Left out: the content of link-local signaling (RFC 5613), of opaque LSAs other than grace-LSAs, and of the extended LSAs
// of RFC 8362, which are carried as they are; multicast OSPF; metrics by type of service.
package wire
