package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// pair is the sender's and the receiver's cipher under the same keys.
func pair(t testing.TB, s IKE) (seal, open *Cipher) {
	t.Helper()
	k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
	seal, err := s.NewCipher(k.Ei, k.Ai)
	if err != nil {
		t.Fatal(err)
	}
	open, err = s.NewCipher(k.Ei, k.Ai)
	if err != nil {
		t.Fatal(err)
	}
	return seal, open
}

// TestRFC7634 is the IKE message of RFC 7634 appendix B: an INFORMATIONAL request that deletes a Child SA.
func TestRFC7634(t *testing.T) {
	s := IKE{Encryption: esp.ChaCha20Poly1305, KeyBits: 256}
	keys := octets(t, "808182838485868788898a8b8c8d8e8f 909192939495969798999a9b9c9d9e9f a0a1a2a3")
	header := octets(t, "c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7 2e202500 00000009 00000045 29000029")
	plain := octets(t, "0000000c 00004001 0000000a")
	body := octets(t, "1011121314151617 610394701f8d017f7c12924889 6b71bfe25236efd7cdc67066906315b2")

	c, err := s.NewCipher(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.body.(*aeadBody).sent = 0x1011121314151616 // the IV of the example follows
	sealed := c.Seal(bytes.Clone(header), header, plain, nil)
	same(t, "message", sealed, append(bytes.Clone(header), body...))
	if len(sealed) != int(binary.BigEndian.Uint32(header[24:])) || c.Overhead(len(plain)) != len(body)-len(plain) {
		t.Errorf("%d octets, overhead %d", len(sealed), c.Overhead(len(plain)))
	}
	got, err := c.Open(nil, header, body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "payloads", got, plain)
}

// TestGCMByHand composes RFC 5282 section 3 with the standard library alone.
func TestGCMByHand(t *testing.T) {
	key, salt := bytes.Repeat([]byte{7}, 32), []byte{1, 2, 3, 4}
	c, err := IKE{Encryption: esp.AESGCM, KeyBits: 256}.NewCipher(append(bytes.Clone(key), salt...), nil)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := aes.NewCipher(key)
	gcm, _ := cipher.NewGCM(block)
	for n := uint64(1); n < 4; n++ {
		iv := binary.BigEndian.AppendUint64(nil, n)
		want := gcm.Seal(bytes.Clone(iv), append(bytes.Clone(salt), iv...), []byte("payloads\x00"), []byte("header"))
		same(t, "body", c.Seal(nil, []byte("header"), []byte("payloads"), nil), want)
	}
	// A peer may pad (RFC 5282 section 3): any content, any length.
	iv := []byte("any IV..")
	padded := gcm.Seal(bytes.Clone(iv), append(bytes.Clone(salt), iv...), []byte("payloads?!?\x03"), nil)
	plain, err := c.Open(nil, nil, padded)
	if err != nil || string(plain) != "payloads" {
		t.Errorf("%q, %v", plain, err)
	}
}

// TestCBCByHand composes RFC 7296 section 3.14 with the standard library alone: the ICV covers everything before it.
func TestCBCByHand(t *testing.T) {
	key, mac := bytes.Repeat([]byte{7}, 16), bytes.Repeat([]byte{8}, 32)
	s := IKE{Encryption: esp.AESCBC, KeyBits: 128, Integrity: esp.HMACSHA256}
	c, err := s.NewCipher(key, mac)
	if err != nil {
		t.Fatal(err)
	}
	iv := []byte("sixteen octets..")
	text := []byte("payloads\x00\x00\x00\x00\x00\x00\x00\x07")
	block, _ := aes.NewCipher(key)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	h := hmac.New(sha256.New, mac)
	h.Write([]byte("header"))
	h.Write(iv)
	h.Write(text)
	want := append(append(bytes.Clone(iv), text...), h.Sum(nil)[:16]...)
	same(t, "body", c.Seal(nil, []byte("header"), []byte("payloads"), bytes.NewReader(iv)), want)
}

func TestSealOpen(t *testing.T) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) {
			seal, open := pair(t, s)
			for n := range 70 {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				message := append(make([]byte, 0, 200), "the header of a message, 32 long"...)
				header := message[:32]
				message = seal.Seal(message, header, plain, chance(byte(n)))
				if want := 32 + n + seal.Overhead(n); len(message) != want {
					t.Fatalf("%d octets sealed to %d, want %d", n, len(message), want)
				}
				got, err := open.Open([]byte("before"), header, message[32:])
				if err != nil {
					t.Fatal(err)
				}
				same(t, "payloads", got, append([]byte("before"), plain...))
			}
		})
	}
}

// TestEveryChange: one changed octet anywhere, in the header too, or one missing, and nothing is opened.
func TestEveryChange(t *testing.T) {
	for _, s := range suites {
		seal, open := pair(t, s)
		header, plain := []byte("a header"), []byte("some payloads in here")
		body := seal.Seal(nil, header, plain, chance(1))
		for i := range body {
			changed := bytes.Clone(body)
			changed[i] ^= 0x80
			mustRefuse(t, open, header, changed)
			mustRefuse(t, open, header, body[:i]) // cut at every length
		}
		for i := range header {
			changed := bytes.Clone(header)
			changed[i] ^= 1
			mustRefuse(t, open, changed, body)
		}
		mustRefuse(t, open, header, append(bytes.Clone(body), 0))
		mustRefuse(t, open, header, append(bytes.Clone(body), make([]byte, 16)...))
		if _, err := open.Open(nil, header, body); err != nil {
			t.Error(err)
		}
	}
}

func mustRefuse(t *testing.T, c *Cipher, header, body []byte) {
	t.Helper()
	if plain, err := c.Open(nil, header, body); !errors.Is(err, ErrAuthentication) || plain != nil {
		t.Fatalf("opened to %x: %v", plain, err)
	}
}

// TestWrongKeys: another direction's keys open nothing.
func TestWrongKeys(t *testing.T) {
	for _, s := range suites {
		k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
		seal, _ := s.NewCipher(k.Ei, k.Ai)
		open, _ := s.NewCipher(k.Er, k.Ar)
		mustRefuse(t, open, nil, seal.Seal(nil, nil, []byte("payloads"), chance(1)))
	}
}

// TestPadLength: free5GC #997: a Pad Length beyond the plaintext, from a peer that has the keys.
func TestPadLength(t *testing.T) {
	gcm, cbc := suites[0], suites[4]
	sealGCM, openGCM := pair(t, gcm)
	sealCBC, openCBC := pair(t, cbc)
	for pad := range 256 {
		const payloads = 30
		text := append(bytes.Repeat([]byte{1}, payloads), make([]byte, 1)...)
		text = append(text, byte(pad))
		a := sealGCM.body.(*aeadBody)
		iv := []byte("iviviviv")
		copy(a.nonce[4:], iv)
		body := a.aead.Seal(bytes.Clone(iv), a.nonce[:], text, nil)
		checkPad(t, openGCM, body, text, pad)

		c := sealCBC.body.(*cbcBody)
		block := make([]byte, 16+len(text))
		copy(block[16:], text)
		cipher.NewCBCEncrypter(c.block, block[:16]).CryptBlocks(block[16:], block[16:])
		checkPad(t, openCBC, append(block, c.sum(nil, block)...), text, pad)
	}
}

func checkPad(t *testing.T, c *Cipher, body, text []byte, pad int) {
	t.Helper()
	plain, err := c.Open([]byte("xyz"), nil, body)
	if pad >= len(text) {
		if !errors.Is(err, errPadding) || plain != nil {
			t.Fatalf("pad %d: %x, %v", pad, plain, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("pad %d: %v", pad, err)
	}
	same(t, fmt.Sprint("pad ", pad), plain, append([]byte("xyz"), text[:len(text)-1-pad]...))
}

// TestIVs: an AEAD's never comes twice, whatever the randomness; CBC's is the randomness (RFC 7296 section 3.14).
func TestIVs(t *testing.T) {
	for _, s := range suites {
		seal, _ := pair(t, s)
		seen := map[string]bool{}
		stuck := bytes.NewReader(make([]byte, 1<<16))
		random := io.Reader(chance(1))
		size := 8
		if s.Integrity == esp.NoIntegrity {
			random = stuck
		} else {
			size = 16
		}
		for range 1000 {
			seen[string(seal.Seal(nil, nil, nil, random)[:size])] = true
		}
		if len(seen) != 1000 {
			t.Errorf("%v: %d different IVs in 1000", s, len(seen))
		}
	}
}

// TestIVsRunOut: after the last IV nothing is sealed, rather than the first used again.
func TestIVsRunOut(t *testing.T) {
	seal, open := pair(t, suites[0])
	seal.body.(*aeadBody).sent = math.MaxUint64 - 1
	if _, err := open.Open(nil, nil, seal.Seal(nil, nil, nil, nil)); err != nil {
		t.Error(err)
	}
	for range 3 {
		if b := seal.Seal(nil, nil, nil, nil); b != nil {
			t.Errorf("sealed with the IV %x", b[:8])
		}
	}
}

// TestResume: a cipher made anew from the same keys gives none of the IVs that were given, and can not be set back.
func TestResume(t *testing.T) {
	for _, s := range suites {
		seen := map[string]bool{}
		var sent uint64
		for range 3 {
			seal, _ := pair(t, s)
			seal.Resume(sent)
			for range 5 {
				seen[string(seal.Seal(nil, nil, nil, chance(byte(len(seen))))[:8])] = true
			}
			seal.Resume(1)
			sent = seal.Sent()
		}
		if want := uint64(15); len(seen) != 15 || s.Integrity == esp.NoIntegrity && sent != want {
			t.Errorf("%v: %d different IVs in 15, %d counted", s, len(seen), sent)
		}
		seal, _ := pair(t, s)
		seal.Clear()
		seal.Resume(9)
		if seal.Sent() != 0 {
			t.Errorf("%v: counts after Clear", s)
		}
	}
}

func TestSealWithoutRandomness(t *testing.T) {
	seal, _ := pair(t, suites[6])
	if b := seal.Seal([]byte("header"), []byte("header"), nil, iotest.ErrReader(io.EOF)); b != nil {
		t.Errorf("sealed %x", b)
	}
}

func TestCipherClear(t *testing.T) {
	for _, s := range suites {
		seal, open := pair(t, s)
		body := seal.Seal(nil, nil, nil, chance(1))
		seal.Clear()
		open.Clear()
		open.Clear()
		mustRefuse(t, open, nil, body)
		if seal.Seal(nil, nil, nil, chance(1)) != nil || seal.Overhead(1) != 0 {
			t.Errorf("%v: sealed after Clear", s)
		}
	}
}

// TestCipherKeys: keys that are not as long as the suite's make no cipher.
func TestCipherKeys(t *testing.T) {
	for _, s := range suites {
		k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
		for _, keys := range [][2][]byte{
			{nil, k.Ai}, {k.Ei[1:], k.Ai}, {append(k.Ei, 0), k.Ai}, {k.Ei, append(k.Ai, 0)}, {k.Ei, make([]byte, len(k.Ai)/2+1)},
		} {
			if _, err := s.NewCipher(keys[0], keys[1]); err == nil {
				t.Errorf("%v: keys of %d and %d octets", s, len(keys[0]), len(keys[1]))
			}
		}
	}
}

// TestKeysStayTheCallers: a cipher goes on when the caller clears the keys it was made of.
func TestKeysStayTheCallers(t *testing.T) {
	for _, s := range suites {
		k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
		seal, _ := s.NewCipher(k.Ei, k.Ai)
		k.Clear()
		_, open := pair(t, s)
		if _, err := open.Open(nil, nil, seal.Seal(nil, nil, []byte("payloads"), chance(1))); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
}

// TestICVLength: RFC 2404 and RFC 4868.
func TestICVLength(t *testing.T) {
	want := map[esp.Integrity][2]int{esp.HMACSHA1: {20, 12}, esp.HMACSHA256: {32, 16}, esp.HMACSHA384: {48, 24}, esp.HMACSHA512: {64, 32}}
	for i, sizes := range want {
		c, err := IKE{Encryption: esp.AESCBC, KeyBits: 128, Integrity: i}.NewCipher(make([]byte, 16), make([]byte, sizes[0]))
		if err != nil || c.Overhead(15) != 16+1+sizes[1] {
			t.Errorf("%v: %v", i, err)
		}
		if word, ok := wordOf(integrityNames, i); !ok || word != i.String() {
			t.Errorf("%v is read as %s", i, word)
		}
	}
	if _, size, ok := keySizes(esp.AESCBC, 128, esp.HMACSHA1); !ok || size != sha1.Size {
		t.Error("sha1")
	}
	if len(want) != len(integrityNames) {
		t.Error("an algorithm without a test")
	}
	if chacha20poly1305.Overhead != 16 {
		t.Error("RFC 7634 section 2: the ICV has 16 octets")
	}
}

// FuzzCipherOpen: nothing opens but what was sealed, and nothing panics: neither what comes from outside nor what a peer
// with the keys sends.
func FuzzCipherOpen(f *testing.F) {
	for i := range suites {
		seal, _ := pair(f, suites[i])
		f.Add(byte(i), []byte("header"), seal.Seal(nil, []byte("header"), []byte("payloads"), chance(1)), []byte{3, 2, 1})
	}
	f.Fuzz(func(t *testing.T, n byte, header, body, inner []byte) {
		s := suites[int(n)%len(suites)]
		seal, open := pair(t, s)
		if plain, err := open.Open(nil, header, body); err == nil && string(plain) != "payloads" {
			t.Fatalf("%v: forged", s)
		}
		sealed := seal.Seal(nil, header, inner, chance(1))
		plain, err := open.Open(nil, header, sealed)
		if err != nil || !bytes.Equal(plain, inner) || len(sealed) != len(inner)+seal.Overhead(len(inner)) {
			t.Fatalf("%v: %x, %v", s, plain, err)
		}
		openInner(t, seal, open, inner)
	})
}

// openInner seals a plaintext as it is, with no padding of ours.
func openInner(t *testing.T, seal, open *Cipher, inner []byte) {
	var body []byte
	switch b := seal.body.(type) {
	case *aeadBody:
		body = b.aead.Seal(bytes.Clone(b.nonce[4:]), b.nonce[:], inner, nil)
	case *cbcBody:
		body = make([]byte, 16+len(inner)/16*16)
		copy(body[16:], inner)
		cipher.NewCBCEncrypter(b.block, body[:16]).CryptBlocks(body[16:], body[16:])
		body = append(body, b.sum(nil, body)...)
	}
	if plain, err := open.Open(nil, nil, body); err == nil && len(plain) >= len(inner) {
		t.Fatalf("%x has no padding", plain)
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range suites {
		b.Run(s.String(), func(b *testing.B) {
			seal, _ := pair(b, s)
			plain, header, dst := make([]byte, 400), make([]byte, 32), make([]byte, 0, 600)
			random := chance(1)
			b.SetBytes(400)
			for b.Loop() {
				seal.Seal(dst, header, plain, random)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range suites {
		b.Run(s.String(), func(b *testing.B) {
			seal, open := pair(b, s)
			header, dst := make([]byte, 32), make([]byte, 0, 600)
			body := seal.Seal(nil, header, make([]byte, 400), chance(1))
			b.SetBytes(400)
			for b.Loop() {
				if _, err := open.Open(dst, header, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
