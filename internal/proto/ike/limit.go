package ike

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/chacha20"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Half-open SAs that are answered without a cookie, RFC 7296 section 2.6: of all together, and of one address. Many
// spokes can share an address, so more of them have to show a cookie rather than being refused.
const (
	calm        = 256
	calmAddress = 8
)

// crowded reports whether a stranger has to prove its address first.
func (m *Module) crowded(from netip.Addr) bool {
	return len(m.begun) >= calm || m.guests[site(from)] >= calmAddress
}

// site is what one host can send from: an IPv4 address, or an IPv6 network.
func site(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// jar makes cookies and knows them again. A secret is used for cookieLife and believed for as long again.
type jar struct {
	random  io.Reader
	secrets [2][32]byte // now, before
	version byte
	made    time.Duration
	ready   bool
}

const cookieLife = 60 * time.Second

func (j *jar) turn(now time.Duration) {
	if j.ready && now-j.made < cookieLife {
		return
	}
	if j.ready && now-j.made < 2*cookieLife {
		j.secrets[1] = j.secrets[0]
	} else {
		io.ReadFull(j.random, j.secrets[1][:])
	}
	io.ReadFull(j.random, j.secrets[0][:])
	j.version++
	j.made, j.ready = now, true
}

// cookie is bound to what its message is bound to: where it came from, its SPI and its nonce.
func (j *jar) cookie(now time.Duration, from netip.AddrPort, spi uint64, nonce []byte) []byte {
	j.turn(now)
	return j.bake(0, j.version, from, spi, nonce)
}

func (j *jar) bake(secret int, version byte, from netip.AddrPort, spi uint64, nonce []byte) []byte {
	h := hmac.New(sha256.New, j.secrets[secret][:])
	h.Write(nonce)
	h.Write(from.Addr().AsSlice())
	h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, from.Port()), spi))
	return h.Sum([]byte{version})
}

// valid reports whether a message has a cookie that we gave its sender.
func (j *jar) valid(now time.Duration, from netip.AddrPort, spi uint64, nonce []byte, n *wire.Notify) bool {
	j.turn(now)
	if n == nil || len(n.Data) == 0 {
		return false
	}
	switch n.Data[0] {
	case j.version:
		return hmac.Equal(n.Data, j.bake(0, j.version, from, spi, nonce))
	case j.version - 1:
		return hmac.Equal(n.Data, j.bake(1, j.version-1, from, spi, nonce))
	}
	return false
}

// reply answers a message that has no SA, in clear. It is no longer than what it answers by more than a few octets,
// and limited in rate.
func (m *Module) reply(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, n *wire.Notify) {
	need := n.Kind != wire.Cookie && n.Kind != wire.InvalidKEPayload // these bring honest peers in, whatever others send
	if need && !m.answers.take(env.Now()) {
		m.count("answer-limited")
		return
	}
	p := wire.Payloads{n}
	out := wire.Header{
		SPIi: h.SPIi, SPIr: h.SPIr, Next: p.First(), Major: 2, Exchange: h.Exchange, MessageID: h.MessageID,
		Flags: wire.Response | ^h.Flags&wire.Initiator,
	}
	body := wire.AppendPayloads(nil, p)
	out.Length = uint32(wire.HeaderLen + len(body))
	env.Emit(dataplane.SendIKE{Local: ev.Local, Remote: ev.Remote, Payload: append(out.Append(nil), body...)})
}

// stream is randomness without end, made of a seed: arithmetic away from the loop draws from what it was given.
type stream struct{ c *chacha20.Cipher }

func newStream(seed []byte) *stream {
	c, err := chacha20.NewUnauthenticatedCipher(seed[:chacha20.KeySize], make([]byte, chacha20.NonceSize))
	if err != nil {
		panic("ike: " + err.Error())
	}
	return &stream{c}
}

// Read implements [io.Reader].
func (s *stream) Read(b []byte) (int, error) {
	clear(b)
	s.c.XORKeyStream(b, b)
	return len(b), nil
}
