package suite

import (
	"crypto/mlkem"
	"fmt"
	"io"
)

// kem encapsulates a secret: the initiator sends an encapsulation key, the responder a ciphertext,
// draft-ietf-ipsecme-ikev2-mlkem section 2.
type kem struct {
	keySize, ciphertextSize int
	decapsulator            func(seed []byte) (decapsulator, []byte, error) // with its encapsulation key
	encapsulate             func(key []byte) (secret, ciphertext []byte, err error)
}

// decapsulator is a private key of any size of ML-KEM.
type decapsulator interface {
	Decapsulate(ciphertext []byte) (secret []byte, err error)
}

var kems = map[Group]kem{
	MLKEM768:  {mlkem.EncapsulationKeySize768, mlkem.CiphertextSize768, decapsulator768, encapsulate768},
	MLKEM1024: {mlkem.EncapsulationKeySize1024, mlkem.CiphertextSize1024, decapsulator1024, encapsulate1024},
}

func decapsulator768(seed []byte) (decapsulator, []byte, error) {
	key, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, nil, err
	}
	return key, key.EncapsulationKey().Bytes(), nil
}

func decapsulator1024(seed []byte) (decapsulator, []byte, error) {
	key, err := mlkem.NewDecapsulationKey1024(seed)
	if err != nil {
		return nil, nil, err
	}
	return key, key.EncapsulationKey().Bytes(), nil
}

// encapsulate768 checks the modulus of the key, FIPS 203 section 7.2.
func encapsulate768(b []byte) (secret, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey768(b)
	if err != nil {
		return nil, nil, err
	}
	secret, ciphertext = key.Encapsulate()
	return secret, ciphertext, nil
}

func encapsulate1024(b []byte) (secret, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey1024(b)
	if err != nil {
		return nil, nil, err
	}
	secret, ciphertext = key.Encapsulate()
	return secret, ciphertext, nil
}

func (k kem) sizes() (int, int) { return k.keySize, k.ciphertextSize }

func (k kem) initiate(random io.Reader) (Private, []byte, error) {
	seed := make([]byte, mlkem.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, nil, err
	}
	key, public, err := k.decapsulator(seed)
	if err != nil {
		return nil, nil, err
	}
	return &kemPrivate{k, key}, public, nil
}

func (k kem) respond(_ io.Reader, peer []byte) (public, secret []byte, err error) {
	if err := checkSize(peer, k.keySize); err != nil {
		return nil, nil, err
	}
	secret, ciphertext, err := k.encapsulate(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: a coefficient of the key is not below the modulus", ErrPublicValue)
	}
	return ciphertext, secret, nil
}

type kemPrivate struct {
	kem kem
	key decapsulator // nil when used
}

// Finish decapsulates. A forged ciphertext of the right length gives a secret that nobody knows (FIPS 203 section 6.3),
// which the exchange fails on later.
func (p *kemPrivate) Finish(peer []byte) ([]byte, error) {
	if p.key == nil {
		return nil, errUsed
	}
	if err := checkSize(peer, p.kem.ciphertextSize); err != nil {
		return nil, err
	}
	secret, err := p.key.Decapsulate(peer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicValue, err)
	}
	p.Clear()
	return secret, nil
}

func (p *kemPrivate) Clear() { p.key = nil }
