// Package esp protects packets and opens them: RFC 4303 with AES-GCM (RFC 4106), ChaCha20-Poly1305 (RFC 7634) and
// AES-CBC with HMAC (RFC 3602, 2404, 4868), with extended sequence numbers and without.
//
// A [Sealer] is one direction's sending end, an [Opener] its receiving end. Both work out of place, from a caller's buffer
// into a caller's buffer, so that the cipher is the only copy; they allocate nothing and may be used by several goroutines at
// once. What an SA is, how long it lives and which packets belong to it is not decided here, nor is the mode: a payload and
// the number of its protocol go in, and come out.
//
//	suite.go     algorithms, lengths, keys        sequence.go  numbers to send by, and their end
//	sealer.go    out                              window.go    numbers received
//	opener.go    in                               scratch.go   memory that a packet needs for a moment
//	cbc.go       AES-CBC with HMAC, and its IVs
//
// Left out: AH, null encryption, GMAC, implicit IVs (RFC 8750), and the search for a peer that is 2^32 packets ahead
// (RFC 4303 appendix A3).
package esp
