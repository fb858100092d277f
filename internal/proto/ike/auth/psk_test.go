package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
)

// hmacSHA256 is PRF_HMAC_SHA2_256.
type hmacSHA256 struct{}

func (hmacSHA256) Sum(key []byte, data ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// TestPSKAuth: RFC 7296 section 2.15. The value is by openssl: the inner key is HMAC of the pad under "secret".
func TestPSKAuth(t *testing.T) {
	const want = "93d6b432e988c4c184f49457ef7ddfef938f1179de4120120d1cc523b368d33b"
	got := hex.EncodeToString(PSKAuth(hmacSHA256{}, []byte("secret"), []byte("octets")))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVerifyPSK(t *testing.T) {
	prf, psk, octets := hmacSHA256{}, []byte("secret"), []byte("octets")
	data := PSKAuth(prf, psk, octets)
	if !VerifyPSK(prf, psk, octets, data) {
		t.Fatal("our own does not verify")
	}
	for _, tt := range []struct {
		name              string
		psk, octets, data []byte
	}{
		{"wrong key", []byte("secrets"), octets, data},
		{"other octets", psk, []byte("octet"), data},
		{"no data", psk, octets, nil},
		{"longer", psk, octets, append(slices.Clone(data), 0)},
		{"unknown identity", nil, octets, data},
		{"unknown identity, the key that stands in", nil, octets, PSKAuth(prf, []byte(noKey), octets)},
		{"unknown identity, empty key", nil, octets, PSKAuth(prf, nil, octets)},
		{"empty key", []byte{}, octets, PSKAuth(prf, nil, octets)},
	} {
		if VerifyPSK(prf, tt.psk, tt.octets, tt.data) {
			t.Errorf("%s: verifies", tt.name)
		}
	}
	for n := range data {
		changed := slices.Clone(data)
		changed[n] ^= 0x80
		if VerifyPSK(prf, psk, octets, data[:n]) || VerifyPSK(prf, psk, octets, changed) {
			t.Errorf("verifies cut to, or changed at, %d", n)
		}
	}
}

// counting counts calls of a PRF.
type counting struct {
	hmacSHA256
	calls *int
}

func (c counting) Sum(key []byte, data ...[]byte) []byte {
	*c.calls++
	return c.hmacSHA256.Sum(key, data...)
}

// TestUnknownIdentityCostsTheSame: nobody learns from the clock which identities are configured.
func TestUnknownIdentityCostsTheSame(t *testing.T) {
	var known, unknown int
	VerifyPSK(counting{calls: &known}, []byte("secret"), []byte("octets"), []byte("data"))
	VerifyPSK(counting{calls: &unknown}, nil, []byte("octets"), []byte("data"))
	if known != unknown || known == 0 {
		t.Errorf("%d calls of the PRF for a known identity, %d for an unknown one", known, unknown)
	}
}

// TestSignedOctets: RFC 7296 section 2.15 and RFC 9242 section 3.3.2.
func TestSignedOctets(t *testing.T) {
	prf := hmacSHA256{}
	mac := prf.Sum([]byte("SK_pi"), []byte("body"))
	got := SignedOctets(prf, []byte("message"), []byte("nonce"), []byte("SK_pi"), []byte("body"), nil)
	if want := slices.Concat([]byte("messagenonce"), mac); !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
	got = SignedOctets(prf, []byte("message"), []byte("nonce"), []byte("SK_pi"), []byte("body"), []byte("IntAuth"))
	if want := slices.Concat([]byte("messagenonce"), mac, []byte("IntAuth")); !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
}
