// Package auth is who a peer of IKEv2 is, and the proof: identities and the patterns that match them, the AUTH payload
// by pre-shared key and by signature, and certificates with their chains, revocation lists and names.
//
//	identity.go    identities, RFC 7296 section 3.5, and their text
//	dn.go          distinguished names: canonical form (RFC 5280 section 7.1) and text (RFC 4514)
//	pattern.go     what a configuration may say instead of one identity
//	psk.go         AUTH by pre-shared key and the octets that are signed, RFC 7296 section 2.15, RFC 9242 section 3.3.2
//	scheme.go      signature algorithms: the exact AlgorithmIdentifiers of RFC 7427 appendix A and RFC 8420
//	sign.go        AUTH by signature, made
//	verify.go      AUTH by signature, checked
//	credential.go  our certificate and its key, read from PEM
//	trust.go       path of a peer's certificate to an authority of ours
//	usage.go       what a certificate may be used for, RFC 4945 section 5.1.3
//	constraints.go name constraints that crypto/x509 leaves out
//	crl.go         revocation lists
//	binding.go     certificate and identity
//	errors.go      why a certificate was refused, in words
//
// Nothing is fetched: no revocation list, no OCSP, no hash-and-URL certificate (RFC 7296 section 3.6), so no address in a
// certificate makes this router talk to anybody. Nothing is cached: a [Trust] never changes after [NewTrust]. Time is an
// argument. EAP, shared-key certificates, PGP and raw public keys are left out. Which tunnel addresses a certificate
// may register is the profile's business.
package auth
