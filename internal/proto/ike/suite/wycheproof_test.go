package suite

import (
	"bytes"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"errors"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// The files in testdata/wycheproof are extracts of github.com/C2SP/wycheproof (testvectors_v1, Apache-2.0, at
// v0.0.0-20260902155932-3fa63dd0344a): some vectors of every flag and result, with the fields that are used here.

// vector is one of them; each file has some of the fields.
type vector struct {
	ID                                int `json:"tcId"`
	Comment, Result                   string
	Public, Private, Shared           string
	Key, IV, AAD, Msg, CT, Tag        string
	IKM, Salt, Info, OKM, Seed, C, EK string
	K                                 string `json:"K"`
	M                                 string `json:"m"`
	Size                              int
}

func (v vector) valid() bool { return v.Result == "valid" }

// eachVector runs a test on each, and fails when the file is empty or has only one sort of result.
func eachVector(t *testing.T, file string, test func(t *testing.T, v vector)) {
	vectors := load[[]vector](t, "testdata/wycheproof/"+file+".json")
	results := map[string]int{}
	for _, v := range vectors {
		results[v.Result]++
		test(t, v)
		if t.Failed() {
			t.Fatalf("%s %d (%s, %s)", file, v.ID, v.Comment, v.Result)
		}
	}
	if len(results) < 2 || len(vectors) < 8 {
		t.Errorf("%s: only %v", file, results)
	}
}

// TestWycheproofECDH goes through Initiate and Finish. Our KE payload is x|y, so a vector's point loses its first octet,
// and a point in another form than 4|x|y must be refused.
func TestWycheproofECDH(t *testing.T) {
	for _, g := range []Group{P256, P384, P521} {
		eachVector(t, g.String(), func(t *testing.T, v vector) {
			private, _, err := g.Initiate(bytes.NewReader(scalar(t, v.Private, curves[g].size)))
			if err != nil {
				t.Fatal(err)
			}
			public := octets(t, v.Public)
			uncompressed := len(public) > 0 && public[0] == 4
			if len(public) > 0 {
				public = public[1:]
			}
			secret, err := private.Finish(public)
			if want := v.valid() && uncompressed; (err == nil) != want {
				t.Fatalf("accepted: %v, want %v: %v", err == nil, want, err)
			}
			if err == nil {
				same(t, "secret", secret, octets(t, v.Shared))
			}
		})
	}
}

// scalar is a private key as long as the group's: the vectors have them with zeros in front, or without.
func scalar(t *testing.T, text string, size int) []byte {
	b := bytes.TrimLeft(octets(t, text), "\x00")
	return append(make([]byte, size-len(b)), b...)
}

// TestWycheproofX25519: "acceptable" are the twist and values that are not reduced, which RFC 7748 takes, and those that
// give zero, which RFC 8031 section 3.2 has us refuse.
func TestWycheproofX25519(t *testing.T) {
	eachVector(t, "x25519", func(t *testing.T, v vector) {
		private, _, err := X25519.Initiate(bytes.NewReader(octets(t, v.Private)))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := private.Finish(octets(t, v.Public))
		zero := strings.Trim(v.Shared, "0") == ""
		if (err == nil) == zero {
			t.Fatalf("shared %s: %v", v.Shared, err)
		}
		if err == nil {
			same(t, "secret", secret, octets(t, v.Shared))
		}
	})
}

// TestWycheproofMLKEM decapsulates as the initiator, from the seed.
func TestWycheproofMLKEM(t *testing.T) {
	for g, file := range map[Group]string{MLKEM768: "mlkem_768", MLKEM1024: "mlkem_1024"} {
		eachVector(t, file, func(t *testing.T, v vector) {
			seed := octets(t, v.Seed)
			if len(seed) != mlkem.SeedSize { // the seed is ours and never of another length
				return
			}
			private, _, err := g.Initiate(bytes.NewReader(seed))
			if err != nil {
				t.Fatal(err)
			}
			secret, err := private.Finish(octets(t, v.C))
			if (err == nil) != v.valid() {
				t.Fatal(err)
			}
			if err == nil {
				same(t, "secret", secret, octets(t, v.K))
			}
		})
	}
}

// TestWycheproofMLKEMEncapsulation: keys that are no keys are refused by Respond, and what we encapsulate with is what
// the vectors were made with.
func TestWycheproofMLKEMEncapsulation(t *testing.T) {
	eachVector(t, "mlkem_768_encaps", func(t *testing.T, v vector) {
		_, _, err := MLKEM768.Respond(chance(1), octets(t, v.EK))
		if (err == nil) != v.valid() {
			t.Fatal(err)
		}
		if key, err := mlkem.NewEncapsulationKey768(octets(t, v.EK)); err == nil {
			secret, c, err := mlkemtest.Encapsulate768(key, octets(t, v.M))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "secret", secret, octets(t, v.K))
			same(t, "ciphertext", c, octets(t, v.C))
		}
	})
	eachVector(t, "mlkem_1024_encaps", func(t *testing.T, v vector) {
		if _, _, err := MLKEM1024.Respond(chance(1), octets(t, v.EK)); (err == nil) != v.valid() {
			t.Fatal(err)
		}
	})
}

// TestWycheproofHMAC: the PRFs, and the integrity algorithms where the tag is as long as theirs.
func TestWycheproofHMAC(t *testing.T) {
	files := map[string]PRF{"hmac_sha1": PRFHMACSHA1, "hmac_sha256": PRFHMACSHA256, "hmac_sha384": PRFHMACSHA384, "hmac_sha512": PRFHMACSHA512}
	for file, prf := range files {
		eachVector(t, file, func(t *testing.T, v vector) {
			tag := octets(t, v.Tag)
			msg := octets(t, v.Msg)
			half := len(msg) / 2
			sum := prf.Sum(octets(t, v.Key), msg[:half], msg[half:])
			if bytes.Equal(sum[:len(tag)], tag) != v.valid() {
				t.Errorf("tag %x", sum)
			}
		})
	}
}

// TestWycheproofHKDF: with HMAC, prf+ is HKDF-Expand, and SKEYSEED is HKDF-Extract with Ni | Nr as the salt.
func TestWycheproofHKDF(t *testing.T) {
	files := map[string]PRF{"hkdf_sha1": PRFHMACSHA1, "hkdf_sha256": PRFHMACSHA256, "hkdf_sha384": PRFHMACSHA384, "hkdf_sha512": PRFHMACSHA512}
	for file, prf := range files {
		eachVector(t, file, func(t *testing.T, v vector) {
			key := prf.Sum(octets(t, v.Salt), octets(t, v.IKM))
			if !v.valid() {
				mustPanic(t, func() { prf.Plus(key, octets(t, v.Info), v.Size) })
				return
			}
			same(t, "octets", prf.Plus(key, octets(t, v.Info), v.Size), octets(t, v.OKM))
		})
	}
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

// TestWycheproofAEAD opens the vectors as bodies of Encrypted payloads. Only what verifies is looked at as padding.
func TestWycheproofAEAD(t *testing.T) {
	files := map[string]esp.Encryption{"aes_gcm": esp.AESGCM, "chacha20_poly1305": esp.ChaCha20Poly1305}
	for file, e := range files {
		eachVector(t, file, func(t *testing.T, v vector) {
			key, iv, msg := octets(t, v.Key), octets(t, v.IV), octets(t, v.Msg)
			s := IKE{Encryption: e, KeyBits: 8 * len(key)}
			c, err := s.NewCipher(append(key, iv[:4]...), nil)
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.Join([][]byte{iv[4:], octets(t, v.CT), octets(t, v.Tag)}, nil)
			plain, err := c.Open(nil, octets(t, v.AAD), body)
			switch {
			case !v.valid() || len(msg) == 0: // without a Pad Length it is no body
				if !errors.Is(err, ErrAuthentication) {
					t.Errorf("%v", err)
				}
			case int(msg[len(msg)-1]) > len(msg)-1:
				if !errors.Is(err, errPadding) {
					t.Errorf("%v", err)
				}
			default:
				same(t, "payloads", plain, msg[:len(msg)-1-int(msg[len(msg)-1])])
			}
		})
	}
}
