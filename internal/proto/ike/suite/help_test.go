package suite

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// octets reads hexadecimal with spaces.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// chance is the same octets for the same seed.
func chance(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func load[T any](t testing.TB, file string) T {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

// suites is an IKE suite for each cipher.
var suites = []IKE{
	{Encryption: esp.AESGCM, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519},
	{Encryption: esp.AESGCM, KeyBits: 192, PRF: PRFHMACSHA256, Group: X25519},
	{Encryption: esp.AESGCM, KeyBits: 256, PRF: PRFHMACSHA384, Group: P256, Additional: []Group{MLKEM768}},
	{Encryption: esp.ChaCha20Poly1305, KeyBits: 256, PRF: PRFHMACSHA512, Group: P384},
	{Encryption: esp.AESCBC, KeyBits: 128, Integrity: esp.HMACSHA1, PRF: PRFHMACSHA1, Group: MODP1024},
	{Encryption: esp.AESCBC, KeyBits: 192, Integrity: esp.HMACSHA384, PRF: PRFHMACSHA384, Group: MODP2048},
	{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA256, PRF: PRFHMACSHA256, Group: P521},
	{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA512, PRF: PRFHMACSHA256, Group: X25519},
}

var groups = []Group{MODP1024, MODP1536, MODP2048, MODP3072, MODP4096, P256, P384, P521, X25519, MLKEM768, MLKEM1024}
