package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
)

// cbc is AES-CBC with HMAC, encrypted first: RFC 3602, RFC 2404, RFC 4868.
//
// An IV must not be known before the plaintext is chosen (RFC 3602 section 3; SP 800-38A appendix C). Ours is the sequence
// number, encrypted with AES under a key of its own, which is derived from the encryption key: a permutation of numbers that
// do not repeat, so that no IV comes twice, and nobody without the key can tell the next. It takes no randomness per packet.
type cbc struct {
	block cipher.Block
	iv    cipher.Block // nil in an Opener
	mac   hash.Hash    // keyed; copied, never written to
	icv   int
}

const ivLabel = "esp aes-cbc iv"

func newCBC(k Keys, sends bool) (*cbc, error) {
	block, err := aes.NewCipher(k.Encryption)
	if err != nil {
		return nil, err
	}
	c := &cbc{block: block, mac: hmac.New(k.Suite.Integrity.hash(), k.Integrity), icv: k.Suite.ICVLen()}
	if sends {
		if c.iv, err = newIVs(k.Encryption); err != nil {
			return nil, err
		}
	}
	return c, c.usable(sends)
}

func newIVs(encryption []byte) (cipher.Block, error) {
	key, err := hkdf.Key(sha256.New, encryption, nil, ivLabel, aesBlock)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return aes.NewCipher(key)
}

func (i Integrity) hash() func() hash.Hash {
	switch i {
	case HMACSHA1:
		return sha1.New
	case HMACSHA256:
		return sha256.New
	case HMACSHA384:
		return sha512.New384
	}
	return sha512.New
}

// usable reports what this build of Go's cryptography lacks: an IV that can be set, or a keyed hash that can be copied.
func (c *cbc) usable(sends bool) error {
	if _, ok := c.mode(sends).(blockMode); !ok {
		return errors.New("this build's AES-CBC cannot be given another IV")
	}
	if _, ok := c.mac.(hash.Cloner); !ok {
		return errors.New("this build's HMAC cannot be copied")
	}
	return nil
}

func (c *cbc) mode(sends bool) cipher.BlockMode {
	var zero [aesBlock]byte
	if sends {
		return cipher.NewCBCEncrypter(c.block, zero[:])
	}
	return cipher.NewCBCDecrypter(c.block, zero[:])
}

func (c *cbc) scratch() *scratch {
	w := &scratch{cbc: c.mode(c.iv != nil).(blockMode)}
	mac, err := c.mac.(hash.Cloner).Clone()
	if err != nil { // a hash of the standard library
		panic(err)
	}
	w.mac = mac
	return w
}

// seal appends IV, ciphertext and ICV to a packet whose header begins at dst[at:].
func (c *cbc) seal(w *scratch, dst []byte, at int, seq uint64, esn bool, plain []byte) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, aesBlock-8)...)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	c.iv.Encrypt(dst[n:], dst[n:])
	w.cbc.SetIV(dst[n:])
	n = len(dst)
	dst = dst[:n+len(plain)]
	w.cbc.CryptBlocks(dst[n:], plain)
	return append(dst, c.sum(w, dst[at:], seq, esn)...)
}

// sum is the ICV of a packet up to it. The high half of an extended sequence number follows, RFC 4303 section 2.2.1.
func (c *cbc) sum(w *scratch, packet []byte, seq uint64, esn bool) []byte {
	w.mac.Reset()
	w.mac.Write(packet)
	if esn {
		binary.BigEndian.PutUint32(w.aad[:4], uint32(seq>>32))
		w.mac.Write(w.aad[:4])
	}
	return w.mac.Sum(w.sum[:0])[:c.icv]
}

// open appends to dst what was encrypted, when the ICV is right: nothing is decrypted before.
func (c *cbc) open(w *scratch, dst, packet []byte, seq uint64, esn bool) ([]byte, bool) {
	end := len(packet) - c.icv
	body := packet[headerLen+aesBlock : end]
	if len(body)%aesBlock != 0 || !hmac.Equal(c.sum(w, packet[:end], seq, esn), packet[end:]) {
		return nil, false
	}
	n := len(dst)
	dst = dst[:n+len(body)]
	w.cbc.SetIV(packet[headerLen : headerLen+aesBlock])
	w.cbc.CryptBlocks(dst[n:], body)
	return dst, true
}
