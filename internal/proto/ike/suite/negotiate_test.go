package suite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

func ikePolicies(t testing.TB, texts ...string) []Policy { return parsed(t, ParseIKEPolicy, texts) }

func childPolicies(t testing.TB, texts ...string) []Policy { return parsed(t, ParseChildPolicy, texts) }

// hybridChild is a policy that no words give.
func hybridChild(t testing.TB, text string, additional ...[]Group) Policy {
	p := childPolicies(t, text)[0]
	p.Additional = additional
	return p
}

func parsed(t testing.TB, parse func(string) (Policy, error), texts []string) []Policy {
	t.Helper()
	var ps []Policy
	for _, text := range texts {
		p, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

// proposal writes a peer's proposal: "encr:20/256 prf:5 ke:31 add1:36 integ:0".
func proposal(t testing.TB, number uint8, protocol wire.Protocol, text string) wire.Proposal {
	t.Helper()
	types := map[string]wire.TransformType{
		"encr": wire.TransformENCR, "prf": wire.TransformPRF, "integ": wire.TransformINTEG, "ke": wire.TransformKE,
		"esn": wire.TransformESN, "add1": wire.AddKE1, "add2": wire.AddKE2, "add3": wire.AddKE3, "new": 13,
	}
	p := wire.Proposal{Number: number, Protocol: protocol}
	if protocol == wire.ProtocolESP {
		p.SPI = []byte{0xc0, 1, 2, 3}
	}
	for word := range strings.FieldsSeq(text) {
		kind, value, _ := strings.Cut(word, ":")
		tr := wire.Transform{Type: types[kind]}
		value, tr.Unknown = strings.CutSuffix(value, "?")
		if _, err := fmt.Sscanf(value+" ", "%d/%d", &tr.ID, &tr.KeyBits); err != nil {
			if _, err := fmt.Sscanf(value, "%d", &tr.ID); err != nil || tr.Type == 0 {
				t.Fatalf("%q: %v", word, err)
			}
		}
		p.Transforms = append(p.Transforms, tr)
	}
	return p
}

func ikeOffer(t testing.TB, texts ...string) *wire.SA {
	sa := new(wire.SA)
	for i, text := range texts {
		sa.Proposals = append(sa.Proposals, proposal(t, uint8(i+1), wire.ProtocolIKE, text))
	}
	return sa
}

func espOffer(t testing.TB, texts ...string) *wire.SA {
	sa := new(wire.SA)
	for i, text := range texts {
		sa.Proposals = append(sa.Proposals, proposal(t, uint8(i+1), wire.ProtocolESP, text))
	}
	return sa
}

// TestDefaultsMeet: two routers with the defaults agree on the hybrid suite, and on a Child SA, over the wire.
func TestDefaultsMeet(t *testing.T) {
	chosen, answer, err := ChooseIKE(overWire(t, OfferIKE(DefaultIKE(), nil)), DefaultIKE(), X25519)
	if err != nil || chosen.String() != "aes256gcm-sha384-x25519-mlkem768" {
		t.Fatalf("chosen %v: %v", chosen, err)
	}
	checked, err := CheckIKE(overWire(t, &wire.SA{Proposals: []wire.Proposal{answer}}), DefaultIKE())
	if err != nil || !reflect.DeepEqual(checked, chosen) {
		t.Fatalf("checked %v: %v", checked, err)
	}
	for withKE, want := range map[bool]string{true: "aes256gcm-x25519-esn", false: "aes256gcm-esn"} {
		offer := overWire(t, OfferChild(DefaultChild(), 0x1234, withKE))
		c, spi, answer, err := ChooseChild(offer, DefaultChild(), withKE, NoGroup)
		if err != nil || spi != 0x1234 || c.String() != want {
			t.Fatalf("child %v spi %x: %v", c, spi, err)
		}
		answer.SPI = []byte{0, 0, 2, 0}
		d, spi, err := CheckChild(overWire(t, &wire.SA{Proposals: []wire.Proposal{answer}}), DefaultChild(), withKE)
		if err != nil || spi != 0x200 || !reflect.DeepEqual(d, c) {
			t.Fatalf("checked child %v: %v", d, err)
		}
	}
}

// overWire writes a payload and reads it back.
func overWire(t *testing.T, sa *wire.SA) *wire.SA {
	t.Helper()
	payloads := wire.Payloads{sa}
	back, err := wire.ParsePayloads(payloads.First(), wire.AppendPayloads(nil, payloads))
	if err != nil {
		t.Fatal(err)
	}
	return wire.Get[*wire.SA](back)
}

// TestOfferIKE: numbers from 1, AEAD and CBC apart (RFC 7296 section 3.3), no transform of type 5 (IOS-XE), key lengths
// where they belong (section 3.3.5, RFC 7634 section 4).
func TestOfferIKE(t *testing.T) {
	spi := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	sa := OfferIKE(ikePolicies(t, "aes128-aes256gcm-chacha20poly1305-sha256-x25519-p256-mlkem768"), spi)
	want := []wire.Proposal{
		proposal(t, 1, wire.ProtocolIKE, "encr:12/128 prf:5 integ:12 ke:31 ke:19 add1:36"),
		proposal(t, 2, wire.ProtocolIKE, "encr:20/256 encr:28 prf:5 ke:31 ke:19 add1:36"),
	}
	for i := range want {
		want[i].SPI = spi
	}
	if !reflect.DeepEqual(sa.Proposals, want) {
		t.Errorf("offer %v", sa)
	}
	for _, p := range OfferIKE(DefaultIKE(), nil).Proposals {
		if p.SPI != nil || p.Protocol != wire.ProtocolIKE {
			t.Errorf("%v", p)
		}
		for _, tr := range p.Transforms {
			if tr.Type == wire.TransformESN {
				t.Error("an IKE proposal with extended sequence numbers")
			}
		}
	}
}

// TestOfferChild: RFC 7296 section 1.2: no key exchange in IKE_AUTH; section 3.3.3: ESP always has type 5. What becomes
// the same is offered once.
func TestOfferChild(t *testing.T) {
	ps := append([]Policy{hybridChild(t, "aes256gcm-x25519", []Group{MLKEM768})},
		childPolicies(t, "aes256gcm-aes128-sha256-p256-none-noesn", "aes256gcm")...)
	check := func(withKE bool, texts ...string) {
		t.Helper()
		sa := OfferChild(ps, 0xc0010203, withKE)
		if want := espOffer(t, texts...); !reflect.DeepEqual(sa, want) {
			t.Errorf("offer %v, want %v", sa, want)
		}
	}
	check(false, "encr:20/256 esn:1 esn:0", "encr:20/256 esn:0", "encr:12/128 integ:12 esn:0")
	check(true, "encr:20/256 ke:31 esn:1 esn:0 add1:36",
		"encr:20/256 ke:19 esn:0", "encr:20/256 esn:0",
		"encr:12/128 integ:12 ke:19 esn:0", "encr:12/128 integ:12 esn:0",
		"encr:20/256 esn:1 esn:0")
}

func TestChooseIKE(t *testing.T) {
	cases := []struct {
		name   string
		ours   []string
		guess  Group
		offer  []string
		want   string // "" is NO_PROPOSAL_CHOSEN
		number uint8
		answer string
	}{
		{"strongSwan-like CBC", []string{"aes256gcm-sha384-x25519", "aes256-aes128-sha256-modp2048"}, 0,
			[]string{"encr:12/128 integ:12 prf:5 ke:14", "encr:20/128 prf:5 ke:14"},
			"aes128-sha256-modp2048", 1, "encr:12/128 prf:5 integ:12 ke:14"},
		{"our order of policies, not the peer's of proposals", []string{"aes256gcm-sha384-x25519", "aes128gcm-sha256-x25519"}, 0,
			[]string{"encr:20/128 prf:5 ke:31", "encr:20/256 prf:6 ke:31"}, "aes256gcm-sha384-x25519", 2, ""},
		{"our order of transforms", []string{"aes256gcm-aes128gcm-sha384-sha256-p384-p256"}, 0,
			[]string{"encr:20/128 encr:20/256 prf:5 prf:6 ke:19 ke:20"}, "aes256gcm-sha384-p384", 1, "encr:20/256 prf:6 ke:20"},
		{"the group of the KE payload saves a round trip", []string{"aes256gcm-sha384-x25519-p384-p256"}, P256,
			[]string{"encr:20/256 prf:6 ke:31 ke:19"}, "aes256gcm-sha384-p256", 1, ""},
		{"a guess that is not in the offer", []string{"aes256gcm-sha384-x25519-p256"}, P256,
			[]string{"encr:20/256 prf:6 ke:31"}, "aes256gcm-sha384-x25519", 1, ""},
		{"a guess that we do not have", []string{"aes256gcm-sha384-x25519"}, P256,
			[]string{"encr:20/256 prf:6 ke:31 ke:19"}, "aes256gcm-sha384-x25519", 1, ""},
		{"a guess of MODP1024 chooses nothing", []string{"aes256gcm-sha384-x25519"}, MODP1024,
			[]string{"encr:20/256 prf:6 ke:2"}, "", 0, ""},
		{"RFC 5282 section 8: NONE with an AEAD, and the answer has each type offered", []string{"aes256gcm-sha256-p256"}, 0,
			[]string{"encr:20/256 integ:0 prf:5 ke:19"}, "aes256gcm-sha256-p256", 1, "encr:20/256 prf:5 integ:0 ke:19"},
		{"RFC 5282 section 8: an integrity algorithm with an AEAD", []string{"aes256gcm-sha256-p256"}, 0,
			[]string{"encr:20/256 integ:12 prf:5 ke:19"}, "", 0, ""},
		{"AEAD and CBC mixed, CBC is ours", []string{"aes256-sha256-p256"}, 0,
			[]string{"encr:20/256 encr:12/256 integ:0 integ:12 prf:5 ke:19"}, "aes256-sha256-p256", 1, ""},
		{"CBC without integrity", []string{"aes256-sha256-p256"}, 0, []string{"encr:12/256 prf:5 ke:19"}, "", 0, ""},
		{"CBC with no integrity", []string{"aes256-sha256-p256"}, 0, []string{"encr:12/256 integ:0 prf:5 ke:19"}, "", 0, ""},
		{"RFC 7296 3.3.5: AES without a key length", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20 prf:5 ke:19"}, "", 0, ""},
		{"RFC 7634 4: ChaCha20 with a key length", []string{"chacha20poly1305-sha256-p256"}, 0, []string{"encr:28/256 prf:5 ke:19"}, "", 0, ""},
		{"ChaCha20", []string{"chacha20poly1305-sha256-p256"}, 0, []string{"encr:28 prf:5 ke:19"}, "chacha20poly1305-sha256-p256", 1, "encr:28 prf:5 ke:19"},
		{"a key length on a PRF", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 prf:5/128 ke:19"}, "", 0, ""},
		{"RFC 7296 3.3.6: an attribute that we do not know", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128? prf:5 ke:19"}, "", 0, ""},
		{"RFC 7296 3.3.6: the same, beside a transform without", []string{"aes128gcm-sha256-p256"}, 0,
			[]string{"encr:20/128? encr:20/128 prf:5 ke:19"}, "aes128gcm-sha256-p256", 1, ""},
		{"RFC 7296 3.3.6: a transform type that we do not know", []string{"aes128gcm-sha256-p256"}, 0,
			[]string{"encr:20/128 prf:5 ke:19 new:1", "encr:20/128 prf:5 ke:19"}, "aes128gcm-sha256-p256", 2, ""},
		{"the same with ID 0", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 prf:5 ke:19 new:0"}, "", 0, ""},
		{"an IKE proposal with extended sequence numbers", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 prf:5 ke:19 esn:0"}, "", 0, ""},
		{"CVE-2016-5391: no key exchange", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 prf:5"}, "", 0, ""},
		{"the key exchange NONE", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 prf:5 ke:0"}, "", 0, ""},
		{"no PRF", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:20/128 ke:19"}, "", 0, ""},
		{"no encryption", []string{"aes128gcm-sha256-p256"}, 0, []string{"prf:5 ke:19"}, "", 0, ""},
		{"NULL encryption", []string{"aes128-sha256-p256"}, 0, []string{"encr:11 integ:12 prf:5 ke:19"}, "", 0, ""},
		{"CVE-2024-3652: GMAC", []string{"aes128gcm-sha256-p256"}, 0, []string{"encr:21/128 prf:5 ke:19"}, "", 0, ""},
		{"CVE-2014-9221: group 1025", []string{"aes128gcm-sha256-p256"}, 1025, []string{"encr:20/128 prf:5 ke:1025"}, "", 0, ""},
		{"weak and not configured", []string{"aes128gcm-aes128-sha256-p256"}, MODP1024, []string{"encr:12/128 integ:2 prf:2 ke:2"}, "", 0, ""},
		{"weak and configured", []string{"aes128-sha1-modp1024"}, MODP1024, []string{"encr:12/128 integ:2 prf:2 ke:2"}, "aes128-sha1-modp1024", 1, ""},

		{"RFC 9370: hybrid with a peer that offers it", []string{"aes256gcm-sha384-x25519-mlkem768", "aes256gcm-sha384-x25519"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36 add1:37", "encr:20/256 prf:6 ke:31"},
			"aes256gcm-sha384-x25519-mlkem768", 1, "encr:20/256 prf:6 ke:31 add1:36"},
		{"RFC 9370: and with one that does not", []string{"aes256gcm-sha384-x25519-mlkem768", "aes256gcm-sha384-x25519"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31"}, "aes256gcm-sha384-x25519", 1, ""},
		{"RFC 9370: the peer allows NONE, we do without", []string{"aes256gcm-sha384-x25519"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36 add1:0"}, "aes256gcm-sha384-x25519", 1, "encr:20/256 prf:6 ke:31 add1:0"},
		{"RFC 9370: the peer insists, we do without", []string{"aes256gcm-sha384-x25519"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36"}, "", 0, ""},
		{"RFC 9370: we insist, the peer may do without", []string{"aes256gcm-sha384-x25519-mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:0"}, "", 0, ""},
		{"RFC 9370: we may do without, the peer is silent", []string{"aes256gcm-sha384-x25519-mlkem768-ke1_none"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31"}, "aes256gcm-sha384-x25519", 1, "encr:20/256 prf:6 ke:31"},
		{"RFC 9370: ML-KEM-512 is not available", []string{"aes256gcm-sha384-x25519-mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:35"}, "", 0, ""},
		{"RFC 9370: a further exchange that we do not have", []string{"aes256gcm-sha384-x25519-mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36 add2:37"}, "", 0, ""},
		{"RFC 9370: the second number only", []string{"aes256gcm-sha384-x25519-mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add2:36"}, "", 0, ""},
		{"RFC 9370 2.2.1: no duplicates, found by going back", []string{"aes256gcm-sha384-x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36 add1:37 add2:36"}, "aes256gcm-sha384-x25519-ke1_mlkem1024-ke2_mlkem768", 1, ""},
		{"RFC 9370 2.2.1: nothing but duplicates", []string{"aes256gcm-sha384-x25519-ke1_mlkem768-ke2_mlkem768"}, X25519,
			[]string{"encr:20/256 prf:6 ke:31 add1:36 add2:36"}, "", 0, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, p, err := ChooseIKE(ikeOffer(t, c.offer...), ikePolicies(t, c.ours...), c.guess)
			if c.want == "" {
				if !errors.Is(err, ErrNoProposal) || !reflect.DeepEqual(s, IKE{}) {
					t.Fatalf("chose %v: %v", s, err)
				}
				return
			}
			if err != nil || p.Number != c.number || p.SPI != nil || p.Protocol != wire.ProtocolIKE {
				t.Fatalf("chose proposal %v: %v", p, err)
			}
			if want := ikePolicies(t, c.want)[0].String(); s.String() != want {
				t.Errorf("chose %v, want %v", s, want)
			}
			if c.answer != "" && !reflect.DeepEqual(p.Transforms, proposal(t, 0, wire.ProtocolIKE, c.answer).Transforms) {
				t.Errorf("answers %v, want %s", p, c.answer)
			}
		})
	}
}

func TestChooseChild(t *testing.T) {
	cases := []struct {
		name   string
		ours   []string
		withKE bool
		guess  Group
		offer  []string
		want   string
		answer string
	}{
		{"AES-GCM", []string{"aes256gcm"}, false, 0, []string{"encr:20/256 esn:0"}, "aes256gcm-noesn", "encr:20/256 esn:0"},
		{"extended sequence numbers, our order", []string{"aes256gcm-esn-noesn"}, false, 0, []string{"encr:20/256 esn:0 esn:1"}, "aes256gcm-esn", ""},
		{"no extended sequence numbers", []string{"aes256gcm-noesn"}, false, 0, []string{"encr:20/256 esn:0 esn:1"}, "aes256gcm-noesn", ""},
		{"only extended sequence numbers", []string{"aes256gcm-noesn"}, false, 0, []string{"encr:20/256 esn:1"}, "", ""},
		{"silent on extended sequence numbers", []string{"aes256gcm"}, false, 0, []string{"encr:20/256"}, "aes256gcm-noesn", "encr:20/256"},
		{"silent, and we insist", []string{"aes256gcm-esn"}, false, 0, []string{"encr:20/256"}, "", ""},
		{"CBC", []string{"aes128-sha1-sha256"}, false, 0, []string{"encr:12/128 integ:12 integ:2 esn:0"}, "aes128-sha1-noesn", ""},
		{"RFC 7296 1.2: a group in IKE_AUTH", []string{"aes256gcm-x25519-none"}, false, 0, []string{"encr:20/256 ke:31 esn:0"}, "", ""},
		{"RFC 7296 1.2: NONE in IKE_AUTH", []string{"aes256gcm-x25519"}, false, 0, []string{"encr:20/256 ke:0 esn:0"}, "aes256gcm-noesn", "encr:20/256 ke:0 esn:0"},
		{"PFS", []string{"aes256gcm-x25519-p256"}, true, P256, []string{"encr:20/256 ke:31 ke:19 esn:0"}, "aes256gcm-p256-noesn", ""},
		{"PFS is ours, the peer has none", []string{"aes256gcm-x25519"}, true, 0, []string{"encr:20/256 esn:0"}, "", ""},
		{"PFS is wanted, the peer has none", []string{"aes256gcm-x25519-none"}, true, 0, []string{"encr:20/256 esn:0"}, "aes256gcm-noesn", ""},
		{"PFS is the peer's, we have none", []string{"aes256gcm"}, true, X25519, []string{"encr:20/256 ke:31 esn:0"}, "", ""},
		{"PFS is the peer's wish, we have none", []string{"aes256gcm"}, true, X25519, []string{"encr:20/256 ke:31 ke:0 esn:0"}, "aes256gcm-noesn", "encr:20/256 ke:0 esn:0"},
		{"AH", []string{"aes256gcm"}, false, 0, nil, "", ""},
		{"NULL", []string{"aes128-sha256"}, false, 0, []string{"encr:11 integ:12 esn:0"}, "", ""},
		{"the peer wants an additional key exchange", []string{"aes256gcm-x25519"}, true, X25519, []string{"encr:20/256 ke:31 add1:36 esn:1"}, "", ""},
		{"the peer may have one", []string{"aes256gcm-x25519"}, true, X25519, []string{"encr:20/256 ke:31 add1:36 add1:0 esn:1"}, "aes256gcm-x25519-esn", "encr:20/256 ke:31 esn:1 add1:0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			offer := espOffer(t, c.offer...)
			if c.offer == nil {
				offer.Proposals = []wire.Proposal{{Number: 1, Protocol: wire.ProtocolAH, SPI: []byte{0xc0, 1, 2, 3}}}
			}
			s, spi, p, err := ChooseChild(offer, childPolicies(t, c.ours...), c.withKE, c.guess)
			if c.want == "" {
				if !errors.Is(err, ErrNoProposal) || spi != 0 {
					t.Fatalf("chose %v: %v", s, err)
				}
				return
			}
			if err != nil || s.String() != c.want || spi != 0xc0010203 || p.SPI != nil {
				t.Fatalf("chose %v, %x, %v: %v", s, spi, p, err)
			}
			if c.answer != "" && !reflect.DeepEqual(p.Transforms, proposal(t, 0, wire.ProtocolESP, c.answer).Transforms) {
				t.Errorf("answers %v, want %s", p, c.answer)
			}
		})
	}
}

// TestHybridChild: RFC 9370 section 2.2.4.
func TestHybridChild(t *testing.T) {
	ps := []Policy{hybridChild(t, "aes256gcm-x25519", []Group{MLKEM768})}
	c, _, answer, err := ChooseChild(overWire(t, OfferChild(ps, 256, true)), ps, true, X25519)
	if err != nil || c.String() != "aes256gcm-x25519-mlkem768-esn" {
		t.Fatalf("%v: %v", c, err)
	}
	answer.SPI = []byte{1, 2, 3, 4}
	if checked, _, err := CheckChild(&wire.SA{Proposals: []wire.Proposal{answer}}, ps, true); err != nil || !reflect.DeepEqual(checked, c) {
		t.Errorf("%v: %v", checked, err)
	}
}

// TestSPIs: RFC 7296 section 3.3.1; RFC 4303 section 2.1 reserves the first 256.
func TestSPIs(t *testing.T) {
	for _, spi := range [][]byte{nil, {1}, {0, 0, 0, 0}, {0, 0, 0, 255}, {0, 1, 2, 3, 4}, make([]byte, 8)} {
		offer := espOffer(t, "encr:20/256 esn:0")
		offer.Proposals[0].SPI = spi
		if _, _, _, err := ChooseChild(offer, childPolicies(t, "aes256gcm"), false, 0); !errors.Is(err, ErrNoProposal) {
			t.Errorf("esp %x: %v", spi, err)
		}
		if _, _, err := CheckChild(offer, childPolicies(t, "aes256gcm-noesn"), false); !errors.Is(err, ErrNoProposal) {
			t.Errorf("esp answer %x: %v", spi, err)
		}
	}
	for _, spi := range [][]byte{{1}, {1, 2, 3, 4}, make([]byte, 8), make([]byte, 9)} {
		offer := ikeOffer(t, "encr:20/256 prf:6 ke:31")
		offer.Proposals[0].SPI = spi
		if _, _, err := ChooseIKE(offer, ikePolicies(t, "aes256gcm-sha384-x25519"), 0); !errors.Is(err, ErrNoProposal) {
			t.Errorf("ike %x: %v", spi, err)
		}
	}
}

// TestCheckIKE: an answer that is not exactly one of each type, out of the proposal whose number it has, is refused.
func TestCheckIKE(t *testing.T) {
	ours := ikePolicies(t, "aes256gcm-sha384-x25519-mlkem768", "aes256gcm-aes128gcm-sha256-x25519-p256", "aes128-sha256-p256")
	cases := map[string]struct {
		number uint8
		answer string
		want   string
	}{
		"hybrid":                       {1, "encr:20/256 prf:6 ke:31 add1:36", "aes256gcm-sha384-x25519-mlkem768"},
		"hybrid without its hybrid":    {1, "encr:20/256 prf:6 ke:31", ""},
		"hybrid with NONE":             {1, "encr:20/256 prf:6 ke:31 add1:0", ""},
		"hybrid with another":          {1, "encr:20/256 prf:6 ke:31 add1:37", ""},
		"wide":                         {2, "encr:20/128 prf:5 ke:19", "aes128gcm-sha256-p256"},
		"wide with NONE integrity":     {2, "encr:20/128 prf:5 integ:0 ke:19", "aes128gcm-sha256-p256"},
		"of another proposal":          {2, "encr:20/256 prf:6 ke:31 add1:36", ""},
		"wrong number":                 {3, "encr:20/128 prf:5 ke:19", ""},
		"CBC":                          {3, "encr:12/128 prf:5 integ:12 ke:19", "aes128-sha256-p256"},
		"CBC without integrity":        {3, "encr:12/128 prf:5 ke:19", ""},
		"CBC with NONE":                {3, "encr:12/128 prf:5 integ:0 ke:19", ""},
		"number 0":                     {0, "encr:20/128 prf:5 ke:19", ""},
		"number 4":                     {4, "encr:20/128 prf:5 ke:19", ""},
		"number 255":                   {255, "encr:20/128 prf:5 ke:19", ""},
		"not offered key":              {2, "encr:20/192 prf:5 ke:19", ""},
		"no key":                       {2, "encr:20 prf:5 ke:19", ""},
		"not offered group, weak":      {2, "encr:20/128 prf:5 ke:2", ""},
		"two groups":                   {2, "encr:20/128 prf:5 ke:19 ke:31", ""},
		"the same group twice":         {2, "encr:20/128 prf:5 ke:19 ke:19", ""},
		"two encryptions":              {2, "encr:20/128 encr:20/256 prf:5 ke:19", ""},
		"no group":                     {2, "encr:20/128 prf:5", ""},
		"no prf":                       {2, "encr:20/128 ke:19", ""},
		"additional that we never had": {2, "encr:20/128 prf:5 ke:19 add1:36", ""},
		"extended sequence numbers":    {2, "encr:20/128 prf:5 ke:19 esn:0", ""},
		"nothing":                      {2, "", ""},
	}
	for name, c := range cases {
		p := proposal(t, c.number, wire.ProtocolIKE, c.answer)
		s, err := CheckIKE(&wire.SA{Proposals: []wire.Proposal{p}}, ours)
		if c.want == "" && !errors.Is(err, ErrNoProposal) || c.want != "" && (err != nil || s.String() != c.want) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	good := proposal(t, 2, wire.ProtocolIKE, "encr:20/128 prf:5 ke:19")
	for name, sa := range map[string]*wire.SA{"no SA": nil, "no proposal": {}, "two": {Proposals: []wire.Proposal{good, good}}} {
		if _, err := CheckIKE(sa, ours); !errors.Is(err, ErrNoProposal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Protocol = wire.ProtocolESP
	if _, err := CheckIKE(&wire.SA{Proposals: []wire.Proposal{good}}, ours); !errors.Is(err, ErrNoProposal) {
		t.Error("an ESP proposal for an IKE SA")
	}
}

// TestEmptyOffer: free5GC #989.
func TestEmptyOffer(t *testing.T) {
	for _, sa := range []*wire.SA{nil, {}, {Proposals: make([]wire.Proposal, 3)}} {
		if _, _, err := ChooseIKE(sa, DefaultIKE(), 0); !errors.Is(err, ErrNoProposal) {
			t.Error(err)
		}
		if _, _, _, err := ChooseChild(sa, DefaultChild(), true, 0); !errors.Is(err, ErrNoProposal) {
			t.Error(err)
		}
	}
	if _, _, err := ChooseIKE(ikeOffer(t, "encr:20/256 prf:6 ke:31"), nil, 0); !errors.Is(err, ErrNoProposal) {
		t.Error("chosen by no policy", err)
	}
}

// TestUnavailablePolicies: CVE-2016-3071, CVE-2018-10811: what somebody configured by hand and we have not is neither
// offered nor chosen.
func TestUnavailablePolicies(t *testing.T) {
	all := Policy{
		Encryptions: []EncryptionChoice{{11, 0}, {21, 128}, {esp.AESGCM, 0}, {esp.AESGCM, 64}, {esp.AESCBC, 512}, {3, 192}},
		Integrities: []esp.Integrity{esp.NoIntegrity, 1, 5}, PRFs: []PRF{1, 4, 0}, Groups: []Group{1, MLKEM512, 1025}, ESN: []bool{false},
	}
	valid := Policy{
		Encryptions: []EncryptionChoice{{esp.AESCBC, 128}, {esp.AESGCM, 128}}, Integrities: []esp.Integrity{esp.HMACSHA256},
		PRFs: []PRF{PRFHMACSHA256}, Groups: []Group{X25519}, ESN: []bool{false},
	}
	var ps []Policy
	for _, change := range []func(*Policy){
		func(p *Policy) { p.Encryptions = all.Encryptions },
		func(p *Policy) { p.Integrities, p.Encryptions = all.Integrities, p.Encryptions[:1] },
		func(p *Policy) { p.PRFs = all.PRFs },
		func(p *Policy) { p.Groups = all.Groups },
		func(p *Policy) { p.Additional = [][]Group{{MLKEM512}} },
		func(p *Policy) { p.Additional = make([][]Group, 8) },
		func(p *Policy) { *p = Policy{} },
	} {
		p := valid
		change(&p)
		ps = append(ps, p)
	}
	if sa := OfferIKE(ps, nil); len(sa.Proposals) != 0 {
		t.Errorf("offers %v", sa)
	}
	if sa := OfferIKE([]Policy{valid}, nil); len(sa.Proposals) != 2 {
		t.Errorf("offers %v", sa)
	}
	if sa := OfferChild([]Policy{ps[0], ps[1], ps[6], {Encryptions: valid.Encryptions, Integrities: valid.Integrities}}, 256, true); len(sa.Proposals) != 0 {
		t.Errorf("offers %v", sa)
	}
}

// TestManyPolicies: what a payload can not hold is left out, and never wraps around to another's number.
func TestManyPolicies(t *testing.T) {
	var ps []Policy
	for i := range 300 {
		p := ikePolicies(t, "aes256gcm-sha384-x25519")[0]
		for bit, g := range groups[:9] {
			if i>>bit&1 == 1 {
				p.Groups = append(p.Groups, g)
			}
		}
		ps = append(ps, p)
	}
	sa := OfferIKE(ps, nil)
	if len(sa.Proposals) != wire.MaxProposals {
		t.Errorf("%d proposals", len(sa.Proposals))
	}
}

// TestReasons: people read why nothing was chosen: all that is missing in the proposal that comes nearest.
func TestReasons(t *testing.T) {
	ours := ikePolicies(t, "aes256gcm-sha384-x25519-p256", "aes128-sha256-p256")
	cases := map[string]string{
		"encr:12/128 integ:2 prf:2 ke:2": "proposal 1: prf: the peer has prfsha1, we have prfsha256; " +
			"integrity: the peer has sha1, we have sha256; key exchange: the peer has modp1024, we have p256",
		"encr:20/256 prf:6 ke:2 ke:14":     "proposal 1: key exchange: the peer has modp1024, modp2048, we have x25519, p256",
		"encr:3 prf:6 ke:31":               "proposal 1: encryption: the peer has encryption 3 of 0 bits, we have aes256gcm",
		"encr:20/256 prf:6 ke:31 add1:36":  "proposal 1: additional key exchange 1: the peer has mlkem768, we have none",
		"encr:20/256 prf:6 ke:31 integ:12": "proposal 1: integrity: the peer has sha256, we have none",
		"encr:20/256? prf:6 ke:31":         "proposal 1: encryption: the peer has 20 with an unknown attribute, we have aes256gcm",
		"encr:20/256 prf:6 ke:31 new:7":    "proposal 1: transform type 13: the peer has 7, we have none",
		"encr:20/256 prf:6":                "proposal 1: key exchange: the peer has none, we have x25519, p256",
	}
	for offer, want := range cases {
		_, _, err := ChooseIKE(ikeOffer(t, offer), ours, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", offer, err, want)
		}
	}
	twice := ikePolicies(t, "aes256gcm-sha384-x25519-ke1_mlkem768-ke2_mlkem768")
	if _, _, err := ChooseIKE(OfferIKE(twice, nil), twice, 0); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	var all []string
	for kind := range 256 {
		all = append(all, fmt.Sprintf("ke:%d", 1000+kind))
	}
	long := ikeOffer(t, strings.Join(all, " "))
	for kind := range 256 {
		long.Proposals[0].Transforms = append(long.Proposals[0].Transforms, wire.Transform{Type: wire.TransformType(kind), ID: 77})
	}
	if _, _, err := ChooseIKE(long, ours, 0); len(err.Error()) > 1200 {
		t.Errorf("a peer writes %d octets into our log", len(err.Error()))
	}
}

// fuzzPolicies are what the fuzzed negotiations are configured with.
func fuzzPolicies(t testing.TB) [][]Policy {
	return [][]Policy{
		DefaultIKE(),
		ikePolicies(t, "aes128-sha1-modp1024"),
		ikePolicies(t, "aes256gcm-aes128-sha256-x25519-mlkem768-ke1_none-ke2_mlkem1024-ke2_mlkem768", "chacha20poly1305-sha512-p521"),
		DefaultChild(),
		append(childPolicies(t, "aes128-sha256-sha1-p256-noesn"), hybridChild(t, "aes256gcm-x25519-none", []Group{MLKEM768, NoGroup})),
		childPolicies(t, "chacha20poly1305-aes256-sha512-esn"),
	}
}

// randomOffer reads an offer out of any octets: four for a transform, or a new proposal.
func randomOffer(b []byte, protocol wire.Protocol) *wire.SA {
	sa := &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: protocol}}}
	for ; len(b) >= 4; b = b[4:] {
		last := &sa.Proposals[len(sa.Proposals)-1]
		if b[0] == 0xff {
			sa.Proposals = append(sa.Proposals, wire.Proposal{Number: b[1], Protocol: protocol})
			continue
		}
		last.Transforms = append(last.Transforms, wire.Transform{
			Type: wire.TransformType(b[0] & 15), Unknown: b[0]&16 != 0, ID: binary.BigEndian.Uint16(b[1:]) & 0x83f, KeyBits: int(b[3]) * 2,
		})
	}
	if protocol == wire.ProtocolESP {
		for i := range sa.Proposals {
			sa.Proposals[i].SPI = []byte{1, 2, 3, 4}
		}
	}
	return sa
}

func encodeOffer(sa *wire.SA) []byte {
	var b []byte
	for i, p := range sa.Proposals {
		if i > 0 {
			b = append(b, 0xff, p.Number, 0, 0)
		}
		for _, tr := range p.Transforms {
			b = append(b, byte(tr.Type), byte(tr.ID>>8), byte(tr.ID), byte(tr.KeyBits/2))
		}
	}
	return b
}

// FuzzNegotiate: whatever is offered or answered, nothing is chosen that is not configured, available, and offered.
func FuzzNegotiate(f *testing.F) {
	for i, ps := range fuzzPolicies(f) {
		sa := OfferIKE(ps, nil)
		if i >= 3 {
			sa = OfferChild(ps, 256, i%2 == 1)
		}
		f.Add(byte(i), uint16(X25519), encodeOffer(sa))
	}
	all := fuzzPolicies(f)
	f.Fuzz(func(t *testing.T, n byte, guess uint16, b []byte) {
		i := int(n) % len(all)
		if i < 3 {
			negotiateIKE(t, all[i], Group(guess), randomOffer(b, wire.ProtocolIKE))
		} else {
			negotiateChild(t, all[i], Group(guess), n >= 128, randomOffer(b, wire.ProtocolESP))
		}
	})
}

// TestNegotiateRandomly is the same with offers that come near: some of our own transforms, and some others.
func TestNegotiateRandomly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var chosen int
	for i, ps := range fuzzPolicies(t) {
		for range 2000 {
			withKE := random.IntN(2) == 0
			sa := OfferIKE(ps, nil)
			if i >= 3 {
				sa = OfferChild(ps, 256, withKE)
			}
			for j := range sa.Proposals {
				mutate(random, &sa.Proposals[j])
			}
			guess := groups[random.IntN(len(groups))]
			if i < 3 && negotiateIKE(t, ps, guess, sa) || i >= 3 && negotiateChild(t, ps, guess, withKE, sa) {
				chosen++
			}
		}
	}
	if chosen < 1000 || chosen > 11000 {
		t.Errorf("%d of 12000 chosen: the test looks at one outcome only", chosen)
	}
}

func mutate(random *rand.Rand, p *wire.Proposal) {
	p.Transforms = slices.DeleteFunc(p.Transforms, func(wire.Transform) bool { return random.IntN(8) == 0 })
	for range random.IntN(3) {
		p.Transforms = append(p.Transforms, wire.Transform{
			Type: wire.TransformType(random.IntN(14)), ID: uint16(random.IntN(40)), KeyBits: random.IntN(5) * 64, Unknown: random.IntN(9) == 0,
		})
	}
	random.Shuffle(len(p.Transforms), func(i, j int) { p.Transforms[i], p.Transforms[j] = p.Transforms[j], p.Transforms[i] })
}

func negotiateIKE(t *testing.T, ps []Policy, guess Group, sa *wire.SA) bool {
	t.Helper()
	s, p, err := ChooseIKE(sa, ps, guess)
	if checked, err := CheckIKE(sa, ps); err == nil { // the same octets as an answer
		if !slices.ContainsFunc(ps, func(p Policy) bool { return p.allowsIKE(checked) }) || checked.Check() != nil {
			t.Fatalf("an answer with %v passes", checked)
		}
	}
	if err != nil {
		return false
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(ps, func(p Policy) bool { return p.allowsIKE(s) }) {
		t.Fatalf("%v is not configured", s)
	}
	wasOffered(t, sa, p)
	k := s.Derive([]byte("secret"), nil, nil, 1, 2)
	if _, err := s.NewCipher(k.Ei, k.Ai); err != nil {
		t.Fatal(err)
	}
	return true
}

func negotiateChild(t *testing.T, ps []Policy, guess Group, withKE bool, sa *wire.SA) bool {
	t.Helper()
	c, _, p, err := ChooseChild(sa, ps, withKE, guess)
	if checked, _, err := CheckChild(sa, ps, withKE); err == nil {
		if !slices.ContainsFunc(ps, func(p Policy) bool { return p.allowsChild(checked, withKE) }) {
			t.Fatalf("an answer with %v passes", checked)
		}
	}
	if err != nil {
		return false
	}
	if !slices.ContainsFunc(ps, func(p Policy) bool { return p.allowsChild(c, withKE) }) {
		t.Fatalf("%v is not configured", c)
	}
	wasOffered(t, sa, p)
	if i, r := ChildKeys(suites[0], []byte("d"), c, nil, nil, nil); len(i.Encryption) < 16 || bytes.Equal(i.Encryption, r.Encryption) {
		t.Fatal("keys")
	}
	return true
}

// allowsIKE says anew, without templates, what a policy means.
func (p Policy) allowsIKE(s IKE) bool {
	return p.allowsCipher(s.Encryption, s.KeyBits, s.Integrity) && slices.Contains(p.PRFs, s.PRF) && s.Group != NoGroup &&
		slices.Contains(p.Groups, s.Group) && p.allowsAdditional(s.Group, s.Additional)
}

func (p Policy) allowsChild(c Child, withKE bool) bool {
	if !p.allowsCipher(c.Encryption, c.KeyBits, c.Integrity) || !slices.Contains(p.ESN, c.ESN) {
		return false
	}
	if c.Group == NoGroup {
		return len(c.Additional) == 0 && (!withKE || len(p.Groups) == 0 || slices.Contains(p.Groups, NoGroup))
	}
	return withKE && slices.Contains(p.Groups, c.Group) && p.allowsAdditional(c.Group, c.Additional)
}

func (p Policy) allowsCipher(e esp.Encryption, bits int, i esp.Integrity) bool {
	if e == esp.AESGCM || e == esp.ChaCha20Poly1305 {
		return slices.Contains(p.Encryptions, EncryptionChoice{e, bits}) && i == esp.NoIntegrity
	}
	return slices.Contains(p.Encryptions, EncryptionChoice{e, bits}) && i != esp.NoIntegrity && slices.Contains(p.Integrities, i)
}

// allowsAdditional places each that was chosen, in order, and leaves out only what may be left out; none comes twice.
func (p Policy) allowsAdditional(first Group, chosen []Group) bool {
	seen := map[Group]bool{first: true}
	for _, g := range chosen {
		if g == NoGroup || seen[g] {
			return false
		}
		seen[g] = true
	}
	return placeable(p.Additional, chosen)
}

func placeable(places [][]Group, chosen []Group) bool {
	if len(places) == 0 {
		return len(chosen) == 0
	}
	return len(chosen) > 0 && slices.Contains(places[0], chosen[0]) && placeable(places[1:], chosen[1:]) ||
		slices.Contains(places[0], NoGroup) && placeable(places[1:], chosen)
}

// wasOffered: the answer is one of the proposals, with one transform of each type that it has (RFC 7296 section 3.3).
func wasOffered(t *testing.T, sa *wire.SA, answer wire.Proposal) {
	t.Helper()
	for _, p := range sa.Proposals {
		types := map[wire.TransformType]int{}
		for _, tr := range p.Transforms {
			types[tr.Type] = 0
		}
		within := p.Number == answer.Number
		for _, tr := range answer.Transforms {
			types[tr.Type]++
			within = within && slices.Contains(p.Transforms, tr) && !tr.Unknown
		}
		for _, count := range types {
			within = within && count == 1
		}
		if within {
			return
		}
	}
	t.Fatalf("the answer %v was not offered in %v", answer, sa)
}

func BenchmarkChooseIKE(b *testing.B) {
	ps := DefaultIKE()
	for name, offered := range map[string][]Policy{"hybrid": ps, "classical": ps[1:], "cbc": ps[2:]} {
		b.Run(name, func(b *testing.B) {
			offer := OfferIKE(offered, nil)
			for b.Loop() {
				if _, _, err := ChooseIKE(offer, ps, X25519); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
