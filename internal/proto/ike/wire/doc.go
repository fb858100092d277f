// Package wire is the codec of IKEv2 messages: RFC 7296 section 3, with the fragments of RFC 7383, the transform types of
// RFC 9370 and the notifies of the extensions that a DMVPN meets. It turns octets into values and back, and decides only what
// can be decided without state and keys.
//
// # On the wire
//
// A message is a [Header] of 28 octets and a chain of payloads; each payload begins with a generic header of four that
// has the type of the next one. [ParseHeader] reads the first, [ParsePayloads] the second; the parsed values are views
// into the message. [AppendMessage] writes a message in the clear.
//
// A protected message ends in an [*Encrypted] or in an [*Fragment], whose Inner is the type of the first payload inside.
// The octets before its Offset are the associated data. What the cipher opens goes to [ParseInner]; fragments are first
// collected in a [Reassembly]. [AppendEncryptedStart] and [AppendFragmentStart] write what comes before the ciphertext.
// Payloads that stand beside an encrypted one are not authentic, and no state may depend on them.
//
// What is wrong has a type that names the reaction, RFC 7296 sections 2.5 and 2.21, once the message is known to be
// authentic; without keys a wrong message is dropped:
//
//   - [*VersionError], a major version above 2: INVALID_MAJOR_VERSION
//   - [*OldVersionError], IKEv1 or below: no answer
//   - [*CriticalError], an unknown critical payload: UNSUPPORTED_CRITICAL_PAYLOAD with its type
//   - [*SyntaxError], anything else: INVALID_SYNTAX
//
// The parsers are strict where the RFC says MUST and leniency would leave a choice to the sender: lengths add up
// exactly, from the datagram down to the attribute; SA, KE, IDi, IDr, AUTH, Nonce, TSi and TSr occur once; a list that
// must not be empty is not; SPIs have the size of their protocol; REKEY_SA names a child SA; selectors do not end
// before they start; nonces have 16 to 256 octets. They are lenient where the RFC wants room for what is to come:
// reserved fields are ignored, unknown payloads that are not critical and selectors of unknown types are left out,
// unknown notifies, protocols and transforms are kept for the machine to reject, and a transform with an attribute
// that we do not know is marked, so that it is never chosen. Payload types of IKEv1 are unknown types here.
//
// Any octets are safe. Memory is bounded by a small multiple of the message, and counts by [MaxPayloads],
// [MaxProposals], [MaxTransforms], [MaxSelectors], [MaxFragments] and [MaxReassembled]. An append function panics only
// for a value that no length field can say, which is the caller's bug: nothing parsed is such a value. A
// [*TS] or an [*SA] that is left without anything known in it can be written, but does not read again.
//
// String methods are for traces. They show sizes of keys, nonces, cookies, certificates, authenticators and
// ciphertext, and never their content. [NotifyType.Words] says what a peer means.
//
// # Files
//
//   - header.go: the header, versions, exchanges and flags
//   - payload.go: the chain, generic headers, and how to look payloads up
//   - sa.go, transform_names.go: proposals and transforms
//   - notify.go, notify_type.go: notifies, what their data holds, and their names
//   - ts.go: traffic selectors
//   - body.go: the payloads that need few lines
//   - sealed.go, reassembly.go: encrypted payloads and fragments
//   - errors.go: the errors
//
// # Left out
//
// There is no cryptography, and no judgement of proposals, identities, certificates or selectors. Configuration and EAP
// payloads are kept whole and not understood. IKEv1 is not spoken. The four zero octets before IKE on port 4500 (RFC
// 3948) belong to the socket.
package wire
