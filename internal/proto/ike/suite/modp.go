package suite

import (
	"encoding/hex"
	"fmt"
	"io"

	"filippo.io/bigmod"
)

// modp exchanges keys modulo a prime, RFC 7296 section 3.4, in constant time.
type modp struct {
	modulus  *bigmod.Modulus
	exponent int // octets of a private value
}

// modps has exponents of twice the higher strength that RFC 3526 section 8 estimates.
var modps = map[Group]modp{
	MODP1024: {modulus(prime1024), 32},
	MODP1536: {modulus(prime1536), 32},
	MODP2048: {modulus(prime2048), 40},
	MODP3072: {modulus(prime3072), 53},
	MODP4096: {modulus(prime4096), 60},
}

func modulus(digits string) *bigmod.Modulus {
	prime, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	m, err := bigmod.NewModulus(prime)
	if err != nil {
		panic(err)
	}
	return m
}

func (m modp) sizes() (int, int) { return m.modulus.Size(), m.modulus.Size() }

func (m modp) initiate(random io.Reader) (Private, []byte, error) {
	exponent := make([]byte, m.exponent)
	if _, err := io.ReadFull(random, exponent); err != nil {
		return nil, nil, err
	}
	exponent[0] |= 0x80 // of full length, so that no draw is a small exponent
	return &modpPrivate{m, exponent}, m.power(m.generator(), exponent), nil
}

func (m modp) generator() *bigmod.Nat {
	return bigmod.NewNat().SetUint(2).ExpandFor(m.modulus)
}

// power is base^exponent, as long as the modulus: with zeros in front where it needs them (RFC 7296 section 2.14).
func (m modp) power(base *bigmod.Nat, exponent []byte) []byte {
	return bigmod.NewNat().Exp(base, exponent, m.modulus).Bytes(m.modulus)
}

func (m modp) respond(random io.Reader, peer []byte) (public, secret []byte, err error) {
	return agree(m, random, peer)
}

// value reads a public value y: its exact length, and 1 < y < p-1 (RFC 6989 section 2.1). The subgroup is not checked:
// p is a safe prime and no private value is used twice.
func (m modp) value(b []byte) (*bigmod.Nat, error) {
	if err := checkSize(b, m.modulus.Size()); err != nil {
		return nil, err
	}
	y, err := bigmod.NewNat().SetBytes(b, m.modulus)
	if err != nil {
		return nil, fmt.Errorf("%w: not below the prime", ErrPublicValue)
	}
	if y.IsZero()|y.IsOne()|y.IsMinusOne(m.modulus) == 1 {
		return nil, fmt.Errorf("%w: 0, 1 or -1", ErrPublicValue)
	}
	return y, nil
}

type modpPrivate struct {
	modp     modp
	exponent []byte // nil when used
}

func (p *modpPrivate) Finish(peer []byte) ([]byte, error) {
	if p.exponent == nil {
		return nil, errUsed
	}
	y, err := p.modp.value(peer)
	if err != nil {
		return nil, err
	}
	secret := p.modp.power(y, p.exponent)
	p.Clear()
	return secret, nil
}

func (p *modpPrivate) Clear() {
	clear(p.exponent)
	p.exponent = nil
}
