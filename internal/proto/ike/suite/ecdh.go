package suite

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
)

// curve exchanges keys over an elliptic curve: RFC 8031 for X25519, RFC 5903 for the others.
type curve struct {
	curve    ecdh.Curve
	size     int  // octets of a private key
	topMask  byte // what the first octet of a private key may hold
	prefixed bool // the standard library writes a point as 4|x|y, RFC 5903 section 7 as x|y
}

var curves = map[Group]curve{
	X25519: {ecdh.X25519(), 32, 0xff, false},
	P256:   {ecdh.P256(), 32, 0xff, true},
	P384:   {ecdh.P384(), 48, 0xff, true},
	P521:   {ecdh.P521(), 66, 0x01, true},
}

func (c curve) sizes() (int, int) {
	if c.prefixed {
		return 2 * c.size, 2 * c.size
	}
	return c.size, c.size
}

func (c curve) initiate(random io.Reader) (Private, []byte, error) {
	key, err := c.generate(random)
	if err != nil {
		return nil, nil, err
	}
	public := key.PublicKey().Bytes()
	if c.prefixed {
		public = public[1:]
	}
	return &curvePrivate{c, key}, public, nil
}

// generateTries bounds the draws for a private key below the order of the curve. The worst order, that of P-256,
// refuses one draw in 2^32.
const generateTries = 16

// generate draws a private key by rejection. It does not use GenerateKey, which may ignore random.
func (c curve) generate(random io.Reader) (*ecdh.PrivateKey, error) {
	b := make([]byte, c.size)
	defer clear(b)
	for range generateTries {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
		b[0] &= c.topMask
		if key, err := c.curve.NewPrivateKey(b); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("the source of randomness gives no usable key")
}

func (c curve) respond(random io.Reader, peer []byte) (public, secret []byte, err error) {
	return agree(c, random, peer)
}

// point reads a public value: its exact length, and that the point is on the curve (RFC 6989 section 2.3). Any 32
// octets are an X25519 value; what comes out all zero is refused with the secret (RFC 8031 section 3.2).
func (c curve) point(b []byte) (*ecdh.PublicKey, error) {
	want, _ := c.sizes()
	if err := checkSize(b, want); err != nil {
		return nil, err
	}
	if c.prefixed {
		b = append([]byte{4}, b...)
	}
	point, err := c.curve.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: the point is not on the curve", ErrPublicValue)
	}
	return point, nil
}

type curvePrivate struct {
	curve curve
	key   *ecdh.PrivateKey // nil when used
}

// Finish gives the x coordinate, RFC 5903 section 9.
func (p *curvePrivate) Finish(peer []byte) ([]byte, error) {
	if p.key == nil {
		return nil, errUsed
	}
	point, err := p.curve.point(peer)
	if err != nil {
		return nil, err
	}
	secret, err := p.key.ECDH(point)
	if err != nil {
		return nil, fmt.Errorf("%w: a point of low order", ErrPublicValue)
	}
	p.Clear()
	return secret, nil
}

func (p *curvePrivate) Clear() { p.key = nil }
