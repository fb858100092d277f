package dataplane

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// The twin's SAs. Thousands of routers in one process make no ciphers: an SA has a digest of its key material, which its
// packets carry in the place of an ICV. Two ends that did not agree on keys, or on how they are used, notice as they would;
// sequence numbers and their end are the real ones.

// Digest stands for key material and what it is used for.
type Digest [16]byte

type twinOutbound struct {
	suite   esp.Suite
	digest  Digest
	numbers *esp.Sequence
}

type twinInbound struct {
	digest Digest
	esn    bool
	window *esp.Window
}

func digestOf(spi uint32, k esp.Keys, esn bool) Digest {
	h := sha256.New()
	var head [13]byte
	binary.BigEndian.PutUint32(head[:], spi)
	binary.BigEndian.PutUint16(head[4:], uint16(k.Suite.Encryption))
	binary.BigEndian.PutUint16(head[6:], uint16(k.Suite.KeyBits))
	binary.BigEndian.PutUint16(head[8:], uint16(k.Suite.Integrity))
	binary.BigEndian.PutUint16(head[10:], uint16(len(k.Encryption)))
	if esn {
		head[12] = 1
	}
	h.Write(head[:])
	h.Write(k.Encryption)
	h.Write(k.Integrity)
	return Digest(h.Sum(nil)[:len(Digest{})])
}

func newTwinOutbound(e SetOutbound) (*twinOutbound, error) {
	if err := e.Keys.Check(e.SPI); err != nil {
		return nil, err
	}
	return &twinOutbound{e.Keys.Suite, digestOf(e.SPI, e.Keys, e.ESN), esp.NewSequence(e.Keys.Suite, e.ESN)}, nil
}

func newTwinInbound(e SetInbound) (*twinInbound, error) {
	if err := e.Keys.Check(e.SPI); err != nil {
		return nil, err
	}
	w, err := esp.NewWindow(ReplayWindow)
	return &twinInbound{digestOf(e.SPI, e.Keys, e.ESN), e.ESN, w}, err
}
