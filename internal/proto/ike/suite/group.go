package suite

import (
	"errors"
	"fmt"
	"io"
)

// Group is a key exchange method, by its number as an IKEv2 transform of type 4 (and of types 6 to 12, RFC 9370).
type Group uint16

// Key exchange methods, IANA "IKEv2 Transform Type 4".
const (
	NoGroup   Group = 0
	MODP1024  Group = 2  // RFC 7296 appendix B.2; weak
	MODP1536  Group = 5  // RFC 3526; weak
	MODP2048  Group = 14 // RFC 3526
	MODP3072  Group = 15 // RFC 3526
	MODP4096  Group = 16 // RFC 3526
	P256      Group = 19 // RFC 5903
	P384      Group = 20 // RFC 5903
	P521      Group = 21 // RFC 5903
	X25519    Group = 31 // RFC 8031
	MLKEM512  Group = 35 // draft-ietf-ipsecme-ikev2-mlkem; named, not available
	MLKEM768  Group = 36 // draft-ietf-ipsecme-ikev2-mlkem
	MLKEM1024 Group = 37 // draft-ietf-ipsecme-ikev2-mlkem
)

// ErrPublicValue is what a peer's key exchange data fails with when they are not a public value of the group, RFC 6989
// section 2.
var ErrPublicValue = errors.New("no valid public value of the group")

// Private is our half of a key exchange that we began. It is used up by the first Finish that succeeds, so that no
// private value serves two exchanges (RFC 7296 section 2.12); a refused peer value, which anybody may have sent, leaves
// it as it was.
type Private interface {
	// Finish computes the shared secret with the peer's public value, or from its ciphertext.
	Finish(peer []byte) (secret []byte, err error)

	// Clear forgets the private value of an exchange that came to nothing.
	Clear()
}

// method is how the groups of one family exchange keys.
type method interface {
	initiate(random io.Reader) (Private, []byte, error)
	respond(random io.Reader, peer []byte) (public, secret []byte, err error)
	sizes() (initiator, responder int) // octets in the KE payload
}

// method is how g exchanges keys, nil where we cannot.
func (g Group) method() method {
	switch g {
	case MODP1024, MODP1536, MODP2048, MODP3072, MODP4096:
		return modps[g]
	case P256, P384, P521, X25519:
		return curves[g]
	case MLKEM768, MLKEM1024:
		return kems[g]
	}
	return nil
}

// Available tells whether we can exchange keys with g.
func (g Group) Available() bool { return g.method() != nil }

// postQuantum tells a key encapsulation from a Diffie-Hellman group.
func (g Group) postQuantum() bool { return g == MLKEM512 || g == MLKEM768 || g == MLKEM1024 }

// PublicSizes is how many octets the initiator's and the responder's KE payloads carry, RFC 7296 section 3.4; zero
// when g is not available.
func (g Group) PublicSizes() (initiator, responder int) {
	m := g.method()
	if m == nil {
		return 0, 0
	}
	return m.sizes()
}

// Initiate makes a fresh key pair; the public half goes into the KE payload.
func (g Group) Initiate(random io.Reader) (Private, []byte, error) {
	m := g.method()
	if m == nil {
		return nil, nil, g.unavailable()
	}
	private, public, err := m.initiate(random)
	if err != nil {
		return nil, nil, fmt.Errorf("key exchange %v: make a key: %w", g, err)
	}
	return private, public, nil
}

// Respond answers the initiator's public value: with a public value of our own, or with a ciphertext for its key.
// Encapsulation draws from the system's randomness and not from random.
func (g Group) Respond(random io.Reader, peer []byte) (public, secret []byte, err error) {
	m := g.method()
	if m == nil {
		return nil, nil, g.unavailable()
	}
	public, secret, err = m.respond(random, peer)
	if err != nil {
		return nil, nil, fmt.Errorf("key exchange %v: %w", g, err)
	}
	return public, secret, nil
}

func (g Group) unavailable() error {
	return fmt.Errorf("key exchange %v: not available here", g)
}

// checkSize refuses data that are not exactly as long as the group says.
func checkSize(peer []byte, want int) error {
	if len(peer) != want {
		return fmt.Errorf("%w: %d octets, want %d", ErrPublicValue, len(peer), want)
	}
	return nil
}

// agree is respond for the groups where both sides do the same.
func agree(m method, random io.Reader, peer []byte) (public, secret []byte, err error) {
	private, public, err := m.initiate(random)
	if err != nil {
		return nil, nil, err
	}
	secret, err = private.Finish(peer)
	if err != nil {
		return nil, nil, err
	}
	return public, secret, nil
}

var errUsed = errors.New("the private value was used already")
