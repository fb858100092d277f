package suite

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"testing"
	"testing/iotest"
)

func TestAgreement(t *testing.T) {
	for _, g := range groups {
		t.Run(g.String(), func(t *testing.T) {
			private, public, err := g.Initiate(chance(1))
			if err != nil {
				t.Fatal(err)
			}
			answer, theirs, err := g.Respond(chance(2), public)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := private.Finish(answer)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "secret", ours, theirs)
			initiator, responder := g.PublicSizes()
			if len(public) != initiator || len(answer) != responder || len(ours) == 0 {
				t.Errorf("sizes %d, %d, secret %d; want %d, %d", len(public), len(answer), len(ours), initiator, responder)
			}
			if _, err := private.Finish(answer); err == nil {
				t.Error("RFC 7296 2.12: a private value served twice")
			}
		})
	}
}

// TestSizes: RFC 7296 section 3.4, RFC 5903 section 7, RFC 8031 section 3.1, draft-ietf-ipsecme-ikev2-mlkem section 2.
func TestSizes(t *testing.T) {
	want := map[Group][2]int{
		MODP1024: {128, 128}, MODP1536: {192, 192}, MODP2048: {256, 256}, MODP3072: {384, 384}, MODP4096: {512, 512},
		P256: {64, 64}, P384: {96, 96}, P521: {132, 132}, X25519: {32, 32},
		MLKEM768: {1184, 1088}, MLKEM1024: {1568, 1568}, MLKEM512: {}, NoGroup: {}, 1025: {},
	}
	for g, sizes := range want {
		if i, r := g.PublicSizes(); i != sizes[0] || r != sizes[1] {
			t.Errorf("%v: %d and %d octets, want %v", g, i, r, sizes)
		}
	}
}

func TestInitiateIsDeterministic(t *testing.T) {
	for _, g := range groups {
		_, a, _ := g.Initiate(chance(7))
		_, b, _ := g.Initiate(chance(7))
		_, c, _ := g.Initiate(chance(8))
		if !bytes.Equal(a, b) || bytes.Equal(a, c) {
			t.Errorf("%v: the key is not a function of the randomness", g)
		}
	}
}

func TestRandomnessFails(t *testing.T) {
	for _, g := range groups {
		if _, _, err := g.Initiate(iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
			t.Errorf("%v: a key without randomness", g)
		}
		_, public, _ := g.Initiate(chance(1))
		if _, _, err := g.Respond(iotest.ErrReader(io.ErrUnexpectedEOF), public); err == nil && !g.postQuantum() {
			t.Errorf("%v: an answer without randomness", g)
		}
	}
	stuck := bytes.NewReader(bytes.Repeat([]byte{0xff}, 1<<12)) // not below the order of P-256
	if _, _, err := P256.Initiate(stuck); err == nil {
		t.Error("a key from a source that only gives ones")
	}
}

func TestClear(t *testing.T) {
	for _, g := range groups {
		private, public, _ := g.Initiate(chance(1))
		answer, _, _ := g.Respond(chance(2), public)
		private.Clear()
		if _, err := private.Finish(answer); err == nil {
			t.Errorf("%v: a cleared key is usable", g)
		}
	}
	private, _, _ := MODP2048.Initiate(chance(1))
	exponent := private.(*modpPrivate).exponent
	private.Clear()
	same(t, "exponent", exponent, make([]byte, len(exponent)))
}

// TestKnownDH: published key pairs, through the public API; the private keys come out of the randomness.
func TestKnownDH(t *testing.T) {
	cases := []struct {
		name                                    string
		group                                   Group
		private, public, other, otherPublic, ir string
	}{
		{"RFC 5903 8.1", P256,
			"C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
			"DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
			"C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
			"D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF6356FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
			"D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"},
		{"RFC 5903 8.2", P384,
			"099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
			"667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
			"41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
			"E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
			"11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746"},
		{"RFC 5903 8.3", P521,
			"0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52",
			"0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F9582",
			"0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9",
			"00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0FC56A",
			"01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA"},
		{"RFC 7748 6.1", X25519,
			"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
			"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
			"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			private, public, err := c.group.Initiate(bytes.NewReader(octets(t, c.private)))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "public value", public, octets(t, c.public))
			secret, err := private.Finish(octets(t, c.otherPublic))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "secret", secret, octets(t, c.ir))
			answer, secret, err := c.group.Respond(bytes.NewReader(octets(t, c.other)), public)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "answer", answer, octets(t, c.otherPublic))
			same(t, "secret of the responder", secret, octets(t, c.ir))
		})
	}
}

// TestMODPAgainstOpenSSL: OpenSSL 3.0.19 made the peer's key and computed the secret from our public value
// (genpkey with the prime and 2, pkeyutl -derive -pkeyopt dh_pad:1).
func TestMODPAgainstOpenSSL(t *testing.T) {
	type vector struct{ Group, Private, Public, Peer, Secret string }
	vectors := load[[]vector](t, "testdata/openssl_modp.json")
	if len(vectors) != len(modps) {
		t.Fatalf("%d vectors for %d groups", len(vectors), len(modps))
	}
	for _, v := range vectors {
		g, err := ParseGroup(v.Group)
		if err != nil {
			t.Fatal(err)
		}
		private, public, err := g.Initiate(bytes.NewReader(octets(t, v.Private)))
		if err != nil {
			t.Fatal(err)
		}
		same(t, v.Group+" public value", public, octets(t, v.Public))
		secret, err := private.Finish(octets(t, v.Peer))
		if err != nil {
			t.Fatal(err)
		}
		same(t, v.Group+" secret", secret, octets(t, v.Secret))
	}
}

// TestMODPAgainstMathBig computes random exchanges with math/big as well.
func TestMODPAgainstMathBig(t *testing.T) {
	for g, m := range modps {
		p := new(big.Int).SetBytes(m.modulus.Nat().Bytes(m.modulus))
		for seed := range byte(4) {
			private, public, err := g.Initiate(chance(seed))
			if err != nil {
				t.Fatal(err)
			}
			x := new(big.Int).SetBytes(private.(*modpPrivate).exponent)
			want := make([]byte, len(public))
			same(t, g.String()+" public value", public, new(big.Int).Exp(big.NewInt(2), x, p).FillBytes(want))
			peer, theirs, err := g.Respond(chance(seed+100), public)
			if err != nil {
				t.Fatal(err)
			}
			same(t, g.String()+" secret", theirs, new(big.Int).Exp(new(big.Int).SetBytes(peer), x, p).FillBytes(want))
		}
	}
}

// TestMODPLeadingZeros: RFC 7296 section 2.14 pads the secret to the length of the modulus. 2^7 and 2^x with x = 8 give
// values far shorter than it.
func TestMODPLeadingZeros(t *testing.T) {
	for g, m := range modps {
		private := &modpPrivate{m, []byte{8}}
		peer := make([]byte, m.modulus.Size())
		peer[len(peer)-1] = 4
		secret, err := private.Finish(peer)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, m.modulus.Size())
		want[len(want)-3] = 1 // 4^8
		same(t, g.String(), secret, want)
	}
}

// TestPrimes computes the primes anew from pi: RFC 7296 appendix B.2, RFC 3526 sections 2 to 5; each is a safe prime.
func TestPrimes(t *testing.T) {
	cases := []struct {
		digits string
		bits   uint
		c      int64
	}{
		{prime1024, 1024, 129093}, {prime1536, 1536, 741804}, {prime2048, 2048, 124476},
		{prime3072, 3072, 1690314}, {prime4096, 4096, 240904},
	}
	for _, c := range cases {
		p, ok := new(big.Int).SetString(c.digits, 16)
		if !ok {
			t.Fatal("no number")
		}
		one := big.NewInt(1)
		want := new(big.Int).Lsh(one, c.bits)
		want.Sub(want, new(big.Int).Lsh(one, c.bits-64)).Sub(want, one)
		middle := new(big.Int).Add(pi(c.bits-130), big.NewInt(c.c))
		want.Add(want, middle.Lsh(middle, 64))
		if p.Cmp(want) != 0 {
			t.Errorf("the prime of %d bits is not that of its formula", c.bits)
		}
		if half := new(big.Int).Rsh(p, 1); !p.ProbablyPrime(1) || !half.ProbablyPrime(1) {
			t.Errorf("the prime of %d bits is not a safe prime", c.bits)
		}
	}
}

// pi is [2^bits pi], by Machin's formula.
func pi(bits uint) *big.Int {
	const guard = 64
	one := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	sum := new(big.Int).Mul(arctan(5, one), big.NewInt(4))
	sum.Sub(sum, arctan(239, one)).Mul(sum, big.NewInt(4))
	return sum.Rsh(sum, guard)
}

// arctan is one * arctan(1/x).
func arctan(x int64, one *big.Int) *big.Int {
	term := new(big.Int).Div(one, big.NewInt(x))
	sum := new(big.Int).Set(term)
	square := big.NewInt(-x * x)
	for n := int64(3); term.Sign() != 0; n += 2 {
		term.Quo(term, square)
		sum.Add(sum, new(big.Int).Quo(term, big.NewInt(n)))
	}
	return sum
}

// TestExponents: RFC 3526 section 8, exponents of at least twice the strength, and never a small one.
func TestExponents(t *testing.T) {
	strength := map[Group]int{MODP1024: 80, MODP1536: 120, MODP2048: 160, MODP3072: 210, MODP4096: 240}
	for g, m := range modps {
		private, _, err := g.Initiate(bytes.NewReader(make([]byte, m.exponent)))
		if err != nil {
			t.Fatal(err)
		}
		x := new(big.Int).SetBytes(private.(*modpPrivate).exponent)
		if x.BitLen() < 2*strength[g] {
			t.Errorf("%v: an exponent of %d bits", g, x.BitLen())
		}
	}
}

// TestPublicValueLength: CVE-2015-3240 (empty and zero KE), CVE-2023-41913 (length of a DH value): every length but the
// right one is refused, for both roles, and leaves the private value usable.
func TestPublicValueLength(t *testing.T) {
	for _, g := range groups {
		private, public, _ := g.Initiate(chance(1))
		answer, want, err := g.Respond(chance(2), public)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2*len(answer) + 2 {
			value := make([]byte, n)
			copy(value, answer)
			if n == len(answer) {
				continue
			}
			if _, err := private.Finish(value); !errors.Is(err, ErrPublicValue) {
				t.Fatalf("%v: %d octets: %v", g, n, err)
			}
		}
		for _, n := range []int{0, 1, len(public) - 1, len(public) + 1, 2 * len(public), 65535} {
			value := make([]byte, n)
			copy(value, public)
			if _, _, err := g.Respond(chance(2), value); !errors.Is(err, ErrPublicValue) {
				t.Fatalf("%v: %d octets: %v", g, n, err)
			}
		}
		secret, err := private.Finish(answer)
		if err != nil {
			t.Fatalf("%v: refused values used the key up: %v", g, err)
		}
		same(t, g.String(), secret, want)
	}
}

// TestPublicValueRange: RFC 6989 section 2.1 and CVE-2015-3240: 0, 1, p-1, p, p+1 and more than p are no public values.
func TestPublicValueRange(t *testing.T) {
	for g, m := range modps {
		size := m.modulus.Size()
		p := new(big.Int).SetBytes(m.modulus.Nat().Bytes(m.modulus))
		bad := map[string]*big.Int{
			"0": big.NewInt(0), "1": big.NewInt(1), "p-1": new(big.Int).Sub(p, big.NewInt(1)), "p": p,
			"p+1": new(big.Int).Add(p, big.NewInt(1)), "2^n-1": new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*size)), big.NewInt(1)),
		}
		for name, y := range bad {
			if _, _, err := g.Respond(chance(1), y.FillBytes(make([]byte, size))); !errors.Is(err, ErrPublicValue) {
				t.Errorf("%v: %s: %v", g, name, err)
			}
		}
		for _, y := range []*big.Int{big.NewInt(2), new(big.Int).Sub(p, big.NewInt(2))} {
			if _, _, err := g.Respond(chance(1), y.FillBytes(make([]byte, size))); err != nil {
				t.Errorf("%v: a public value is refused: %v", g, err)
			}
		}
	}
}

// TestPointNotOnCurve: RFC 6989 section 2.3, the invalid curve attack; and points of low order on X25519, RFC 8031
// section 3.2 with RFC 7748 section 6.1.
func TestPointNotOnCurve(t *testing.T) {
	for _, g := range []Group{P256, P384, P521} {
		_, public, _ := g.Initiate(chance(1))
		for _, at := range []int{0, len(public) / 2, len(public) - 1} {
			off := bytes.Clone(public)
			off[at] ^= 1
			if _, _, err := g.Respond(chance(2), off); !errors.Is(err, ErrPublicValue) {
				t.Errorf("%v: a point off the curve: %v", g, err)
			}
		}
		if _, _, err := g.Respond(chance(2), make([]byte, len(public))); !errors.Is(err, ErrPublicValue) {
			t.Errorf("%v: (0, 0): %v", g, err)
		}
	}
	low := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000080", // RFC 7748 section 5: the top bit is ignored
	}
	for _, text := range low {
		private, _, _ := X25519.Initiate(chance(1))
		if _, err := private.Finish(octets(t, text)); !errors.Is(err, ErrPublicValue) {
			t.Errorf("x25519: low order %s: %v", text, err)
		}
	}
}

// TestUnavailableGroups: CVE-2014-9221 (group 1025, internal to an implementation, reached from the wire) and
// CVE-2016-3071, CVE-2018-10811 (negotiated, but not available): no number but ours computes anything.
func TestUnavailableGroups(t *testing.T) {
	known := map[Group]bool{}
	for _, g := range groups {
		known[g] = true
	}
	for n := range 1 << 16 {
		g := Group(n)
		if known[g] != g.Available() {
			t.Fatalf("%v: available %v", g, g.Available())
		}
		if known[g] {
			continue
		}
		if _, _, err := g.Initiate(chance(1)); err == nil {
			t.Fatalf("%v makes a key", g)
		}
		if _, _, err := g.Respond(chance(1), make([]byte, 256)); err == nil {
			t.Fatalf("%v answers", g)
		}
	}
}

func TestGroupWords(t *testing.T) {
	for _, g := range groups {
		if back, err := ParseGroup(g.String()); err != nil || back != g {
			t.Errorf("%v reads back as %v: %v", g, back, err)
		}
	}
	for _, word := range []string{"", "mlkem512", "modp768", "X25519", "31"} {
		if g, err := ParseGroup(word); err == nil {
			t.Errorf("%q is %v", word, g)
		}
	}
	if Group(1025).String() != "group 1025" {
		t.Error(Group(1025))
	}
}

func FuzzPublicValue(f *testing.F) {
	for i, g := range groups {
		_, public, _ := g.Initiate(chance(1))
		f.Add(byte(i), public)
	}
	f.Add(byte(0), []byte(nil))
	f.Fuzz(func(t *testing.T, n byte, peer []byte) {
		g := groups[int(n)%len(groups)]
		_, secret, err := g.Respond(chance(1), peer)
		if want, _ := g.PublicSizes(); err == nil && len(peer) != want {
			t.Fatalf("%v takes %d octets", g, len(peer))
		}
		if (err == nil) != (len(secret) > 0) || err == nil && bytes.Count(secret, []byte{0}) == len(secret) {
			t.Fatalf("%v: secret %s: %v", g, hex.EncodeToString(secret), err)
		}
		private, _, _ := g.Initiate(chance(2))
		if secret, err := private.Finish(peer); err != nil && secret != nil {
			t.Fatalf("%v: a secret and an error", g)
		}
	})
}

func BenchmarkInitiate(b *testing.B) {
	for _, g := range groups {
		b.Run(g.String(), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := g.Initiate(chance(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRespond(b *testing.B) {
	for _, g := range groups {
		b.Run(g.String(), func(b *testing.B) {
			_, public, _ := g.Initiate(chance(1))
			for b.Loop() {
				if _, _, err := g.Respond(chance(2), public); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestTogether: key exchanges run as Work, several at once; under the race detector nothing that they share is written.
func TestTogether(t *testing.T) {
	for _, g := range groups {
		_, public, _ := g.Initiate(chance(1))
		for i := range byte(3) {
			t.Run(g.String(), func(t *testing.T) {
				t.Parallel()
				if _, _, err := g.Respond(chance(i), public); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
