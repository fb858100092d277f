package esp

import (
	"crypto/cipher"
	"hash"
	"sync/atomic"
)

// scratch is what an algorithm needs while it works on one packet. It cannot be on the stack, since what is given to a cipher
// behind an interface escapes; and it is not one for all, since several goroutines may work at once.
type scratch struct {
	nonce [saltLen + aeadIV]byte
	aad   [headerLen + 4]byte
	cbc   blockMode
	mac   hash.Hash
	sum   [64]byte
}

// blockMode is CBC whose IV can be set for each packet.
type blockMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

// pool keeps a few scratches. Taking and giving back are one atomic exchange each; a goroutine that finds none makes one.
type pool [4]atomic.Pointer[scratch]

func (p *pool) take() *scratch {
	for i := range p {
		if p[i].Load() != nil {
			if s := p[i].Swap(nil); s != nil {
				return s
			}
		}
	}
	return nil
}

func (p *pool) give(s *scratch) {
	for i := range p {
		if p[i].Load() == nil && p[i].CompareAndSwap(nil, s) {
			return
		}
	}
}
