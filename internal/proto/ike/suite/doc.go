// Package suite is the cryptography of IKEv2: which algorithms an SA uses and how two routers agree on them, key
// exchange, the keys that follow from it, and the protection of IKE's own messages.
//
//   - group.go: key exchange; ecdh.go, modp.go (primes.go) and mlkem.go are its families (RFC 8031, 5903, 3526, ML-KEM)
//   - prf.go: prf and prf+ (RFC 7296 section 2.13); keys.go: all keys of an IKE SA and of its Child SAs (sections 2.14,
//     2.17, 2.18; additional key exchanges, RFC 9370; post-quantum preshared keys, RFC 8784)
//   - cipher.go: the body of the Encrypted payload (RFC 7296 section 3.14, RFC 5282, RFC 7634); resume.go: a cipher
//     that goes on where another stopped; sizes.go: how long keys are
//   - policy.go, names.go: what is configured, in words; negotiate.go, template.go: offer, choose, check (RFC 7296 section 3.3)
//
// Algorithms that are not here can not be negotiated: what a peer offers is compared with what is configured, and what is
// configured with what is available, before anything is computed. Left out are DES, 3DES, MD5, XCBC and CMAC, GCM with
// short ICVs, AH, the MODP groups with small subgroups of RFC 5114, and ML-KEM-512, which the standard library lacks.
//
// Secrets returned here belong to the caller, who clears them.
package suite
