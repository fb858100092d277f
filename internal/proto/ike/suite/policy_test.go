package suite

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

func TestParseIKEPolicy(t *testing.T) {
	gcm256, cbc128 := EncryptionChoice{esp.AESGCM, 256}, EncryptionChoice{esp.AESCBC, 128}
	cases := map[string]Policy{
		"aes256gcm-sha384-x25519-mlkem768": {
			Encryptions: []EncryptionChoice{gcm256}, PRFs: []PRF{PRFHMACSHA384},
			Groups: []Group{X25519}, Additional: [][]Group{{MLKEM768}},
		},
		"aes128-sha256-modp2048": {
			Encryptions: []EncryptionChoice{cbc128}, Integrities: []esp.Integrity{esp.HMACSHA256}, PRFs: []PRF{PRFHMACSHA256},
			Groups: []Group{MODP2048},
		},
		"aes128-sha1-prfsha256-modp1024-modp1536": {
			Encryptions: []EncryptionChoice{cbc128}, Integrities: []esp.Integrity{esp.HMACSHA1}, PRFs: []PRF{PRFHMACSHA256},
			Groups: []Group{MODP1024, MODP1536},
		},
		"aes256gcm-aes128-sha512-p384-ke1_mlkem1024-ke1_none-ke2_p521": {
			Encryptions: []EncryptionChoice{gcm256, cbc128}, Integrities: []esp.Integrity{esp.HMACSHA512}, PRFs: []PRF{PRFHMACSHA512},
			Groups: []Group{P384}, Additional: [][]Group{{MLKEM1024, NoGroup}, {P521}},
		},
		"chacha20poly1305-prfsha256-mlkem768": {
			Encryptions: []EncryptionChoice{{esp.ChaCha20Poly1305, 256}}, PRFs: []PRF{PRFHMACSHA256}, Groups: []Group{MLKEM768},
		},
	}
	for text, want := range cases {
		got, err := ParseIKEPolicy(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParseChildPolicy(t *testing.T) {
	both := []bool{true, false}
	cases := map[string]Policy{
		"aes256gcm": {Encryptions: []EncryptionChoice{{esp.AESGCM, 256}}, ESN: both},
		"aes128gcm16-ecp256-none-noesn": {
			Encryptions: []EncryptionChoice{{esp.AESGCM, 128}}, Groups: []Group{P256, NoGroup}, ESN: []bool{false},
		},
		"aes192-sha1-noesn-esn": {
			Encryptions: []EncryptionChoice{{esp.AESCBC, 192}}, Integrities: []esp.Integrity{esp.HMACSHA1}, ESN: []bool{false, true},
		},
	}
	for text, want := range cases {
		got, err := ParseChildPolicy(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// TestPolicyErrors: what is wrong is said in words, with the text that it is in.
func TestPolicyErrors(t *testing.T) {
	ike := map[string]string{
		"":                                   "no algorithm",
		"x25519-sha256":                      "no encryption",
		"aes256gcm-x25519":                   "needs a prf",
		"aes256gcm-sha256":                   "needs a key exchange",
		"aes256gcm-sha256-none":              "needs a key exchange",
		"aes256-prfsha256-x25519":            "needs an integrity",
		"aes256gcm-sha256-prfsha256-x25519":  "no integrity algorithm",
		"aes256gcm-sha256-x25519-esn":        "extended sequence numbers",
		"3des-sha1-modp1024":                 `"3des"`,
		"aes256-md5-modp2048":                `"md5"`,
		"aes256gcm-aes256gcm-sha256-x25519":  "named twice",
		"aes256gcm-aes256gcm16-sha256-p256":  "named twice",
		"aes256gcm-sha256-p256-ecp256":       "named twice",
		"aes256gcm-sha256-x25519-mlkem512":   "mlkem512",
		"aes256gcm-sha256-x25519-ke8_p256":   "ke1_ to ke7_",
		"aes256gcm-sha256-x25519-ke0_p256":   "ke1_ to ke7_",
		"aes256gcm-sha256-x25519-ke_p256":    "ke1_ to ke7_",
		"aes256gcm-sha256-x25519-ke2_p256":   "ke1 is left out",
		"aes256gcm-sha256-x25519-ke1_p999":   "p999",
		"aes256gcm--sha256-x25519":           "no algorithm",
		"aes256gcm-sha256-x25519-ke1_p256 ":  "p256 ",
		"aes256gcm-sha256-x25519-keine_ende": "ke1_ to ke7_",
	}
	child := map[string]string{
		"aes256gcm-sha256":          "no integrity algorithm",
		"aes256":                    "needs an integrity",
		"aes256gcm-prfsha256":       "no prf",
		"aes256gcm-x25519-mlkem768": "no additional key exchange",
		"aes256gcm-ke1_mlkem768":    "no additional key exchange",
		"aes256gcm-esn-esn":         "named twice",
	}
	check := func(parse func(string) (Policy, error), cases map[string]string) {
		for text, want := range cases {
			p, err := parse(text)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "proposal") {
				t.Errorf("%q: %v, %v; want %q in it", text, p, err, want)
			}
			if !reflect.DeepEqual(p, Policy{}) {
				t.Errorf("%q: half a policy with an error", text)
			}
		}
	}
	check(ParseIKEPolicy, ike)
	check(ParseChildPolicy, child)
}

// TestPolicyWords: a policy prints as it is read.
func TestPolicyWords(t *testing.T) {
	for _, text := range []string{
		"aes256gcm-sha384-x25519-mlkem768",
		"aes256-sha1-prfsha256-modp1024",
		"aes256gcm-aes128-sha256-x25519-p256-mlkem768-mlkem1024",
		"aes128gcm-sha256-p256-ke1_mlkem768-ke1_none-ke2_p384",
		"chacha20poly1305-sha512-mlkem1024-ke1_mlkem768",
	} {
		if p, err := ParseIKEPolicy(text); err != nil || p.String() != text {
			t.Errorf("%s prints as %v (%v)", text, p, err)
		}
	}
	for _, text := range []string{
		"aes256gcm", "aes256gcm-x25519-none", "aes128-sha256-noesn", "aes128-sha1-sha256-noesn-esn", "aes256gcm-p256-esn",
	} {
		if p, err := ParseChildPolicy(text); err != nil || p.String() != text {
			t.Errorf("%s prints as %v (%v)", text, p, err)
		}
	}
	for _, s := range suites {
		p, err := ParseIKEPolicy(s.String())
		if err != nil || p.String() != s.String() {
			t.Errorf("%v: %v, %v", s, p, err)
		}
	}
	for _, s := range unusable {
		_ = s.String() // also of what is not available
	}
}

func TestWeak(t *testing.T) {
	weak := map[string]int{
		"aes256gcm-sha384-x25519-mlkem768":    0,
		"aes128-sha1-modp1024":                3,
		"aes128-sha256-modp1536-modp2048":     1,
		"aes128-sha1-prfsha256-x25519":        1,
		"aes256gcm-sha1-x25519":               1,
		"aes256gcm-sha256-p256-ke1_modp1024":  1,
		"aes128-sha256-sha384-modp2048-p521":  0,
		"chacha20poly1305-prfsha512-modp4096": 0,
	}
	for text, want := range weak {
		p, err := ParseIKEPolicy(text)
		if err != nil || len(p.Weak()) != want {
			t.Errorf("%s: %q, %v", text, p.Weak(), err)
		}
	}
}

// TestDefaults: nothing weak, everything available, hybrid first, no ESN for IKE.
func TestDefaults(t *testing.T) {
	for _, p := range slices.Concat(DefaultIKE(), DefaultChild()) {
		if why := p.Weak(); why != nil {
			t.Errorf("%v: %q", p, why)
		}
	}
	for _, p := range DefaultIKE() {
		if len(p.ESN) > 0 {
			t.Errorf("%v", p)
		}
	}
	if first := DefaultIKE()[0].String(); first != "aes256gcm-sha384-x25519-mlkem768" {
		t.Error(first)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, p := range slices.Concat(DefaultIKE(), DefaultChild()) {
		f.Add(p.String())
	}
	f.Add("aes256gcm-sha256-p256-ke1_mlkem768-ke1_none-ke2_p384")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Policy, error){ParseIKEPolicy, ParseChildPolicy} {
			p, err := parse(text)
			if err != nil {
				continue
			}
			again, err := parse(p.String())
			if err != nil || !reflect.DeepEqual(again, p) {
				t.Fatalf("%q prints as %q, which is %v, %v", text, p, again, err)
			}
		}
	})
}
