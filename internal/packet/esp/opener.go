package esp

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"
)

// Why a packet is not opened.
var (
	ErrMalformed = errors.New("not an ESP packet of this SA")           // too short, of another SPI, or with wrong padding
	ErrReplay    = errors.New("sequence number was used or is too old") // RFC 4303 section 3.4.3
	ErrIntegrity = errors.New("integrity check failed")                 // RFC 4303 section 3.4.4
)

// NoNextHeader is the next header of a packet that carries nothing: a dummy, RFC 4303 section 2.6, to be dropped in silence.
const NoNextHeader = 59

// Opener opens the packets of one SA, as the receiver of RFC 4303 section 3.4.
type Opener struct {
	suite  Suite
	spi    uint32
	esn    bool
	salt   [saltLen]byte
	aead   cipher.AEAD // nil: AES-CBC and HMAC
	cbc    *cbc
	window *Window
	free   pool
}

// NewOpener makes the ciphers of an SA that is received by, and a replay window of so many packets. The key material in k is
// cleared, also when it is refused.
func NewOpener(spi uint32, k Keys, esn bool, window int) (*Opener, error) {
	defer k.Clear()
	if err := k.Check(spi); err != nil {
		return nil, err
	}
	return newOpener(spi, k, esn, window)
}

func newOpener(spi uint32, k Keys, esn bool, window int) (*Opener, error) {
	w, err := NewWindow(window)
	if err != nil {
		return nil, err
	}
	o := &Opener{suite: k.Suite, spi: spi, esn: esn, window: w}
	if k.Suite.aead() {
		o.aead, err = newAEAD(k, &o.salt)
	} else {
		o.cbc, err = newCBC(k, false)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// SPI is the SA's.
func (o *Opener) SPI() uint32 { return o.spi }

// Suite is the SA's.
func (o *Opener) Suite() Suite { return o.suite }

// Open gives the payload of a packet and the protocol in it, once for each packet that was sealed. The payload lies right
// behind dst, in its memory where that has room for the packet behind its length, else in new memory; it must not overlap the
// packet. Whatever comes of it, what was behind dst is overwritten. The error is [ErrMalformed], [ErrReplay] or
// [ErrIntegrity].
func (o *Opener) Open(dst, packet []byte) (payload []byte, next uint8, err error) {
	if len(packet) < headerLen+o.suite.IVLen()+2+o.suite.ICVLen() || binary.BigEndian.Uint32(packet) != o.spi {
		return nil, 0, ErrMalformed
	}
	seq := uint64(binary.BigEndian.Uint32(packet[4:]))
	if o.esn {
		seq = o.window.Infer(uint32(seq))
	}
	if !o.window.Fresh(seq) {
		return nil, 0, ErrReplay
	}
	plain, ok := o.decrypt(slices.Grow(dst, len(packet)), packet, seq)
	if !ok {
		return nil, 0, ErrIntegrity
	}
	if !o.window.Accept(seq) {
		return nil, 0, ErrReplay
	}
	return trim(plain[len(dst):])
}

// decrypt appends payload and trailer to dst; false when the packet is not authentic.
func (o *Opener) decrypt(dst, packet []byte, seq uint64) (plain []byte, ok bool) {
	w := o.free.take()
	if w == nil {
		w = o.scratch()
	}
	defer o.free.give(w)
	if o.aead == nil {
		return o.cbc.open(w, dst, packet, seq, o.esn)
	}
	copy(w.nonce[:], o.salt[:])
	copy(w.nonce[saltLen:], packet[headerLen:headerLen+aeadIV])
	plain, err := o.aead.Open(dst, w.nonce[:], packet[headerLen+aeadIV:], additional(w, packet, seq, o.esn))
	return plain, err == nil
}

// trim takes the trailer off, RFC 4303 section 2.4: the padding is 1, 2, 3, and no longer than what there is.
func trim(plain []byte) (payload []byte, next uint8, err error) {
	end := len(plain) - 2
	pad := int(plain[end])
	if pad > end {
		return nil, 0, ErrMalformed
	}
	for i, b := range plain[end-pad : end] {
		if int(b) != i+1 {
			return nil, 0, ErrMalformed
		}
	}
	return plain[:end-pad], plain[end+1], nil
}

func (o *Opener) scratch() *scratch {
	if o.cbc == nil {
		return new(scratch)
	}
	return o.cbc.scratch()
}
