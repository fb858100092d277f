package suite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// TestCAVP is NIST's known answer for the IKEv2 key derivation of SP 800-135, with HMAC-SHA-1 (the only complete one
// that is published; the others follow). AES-128-CBC with HMAC-SHA-1 takes all of its 1056 bits.
func TestCAVP(t *testing.T) {
	var (
		gir    = octets(t, "4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52")
		girNew = octets(t, "863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330")
		ni     = octets(t, "32b50d5f4a3763f3")
		nr     = octets(t, "9206a04b26564cb1")
		spii   = uint64(0x34c9e7c188868785)
		spir   = uint64(0x3ff77d760d2b2199)
		dkm    = octets(t, "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f9fa5e992204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41efa9c549fd11198af1670b143d384bd275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4")
		child  = octets(t, "8059e3ee8810e6c3a91bc8bcd2a7a41151b8d0e6ae239c7b38093ad85ef4c5811a8e7b5d1cdabd9560b2d5e092d1f24e2d4b85eccdf0ad0dc9abd94b51ee71814ca6dbc8bb51b6309f5b9545c7eb35cf5580b1e521a8fe20754a2d883ba0c2cf285f524aea6545b33106bc03e614296d319d41d4b50b3f510b1c0a22f3e664994d234cb4")
		childD = octets(t, "bb43244c1860ad65ee1e211ffe8bb3661750c8f89cb9f547df7f4fa61d37301628190e38c66232eab4b3ab14c400a5197dd3730ed4820a8a10394d51e1c0400052f63ebd36b0e7ef53aaed31eba4a5080d7d4b5666023a8bbb5ffb7857240f9a05884d1b7d2f933708450b7b3288f1fc863ab49fa901227cffc06e27899c7054d56fd74c")
		rekey  = octets(t, "63e81194946ebd05df7df5ebf5d8750056bf1f1d")
	)
	s := IKE{Encryption: esp.AESCBC, KeyBits: 128, Integrity: esp.HMACSHA1, PRF: PRFHMACSHA1, Group: P256}
	same(t, "SKEYSEED", s.PRF.Sum(slices.Concat(ni, nr), gir), octets(t, "a9a7b222b59f8f48645f28a1db5b5f5d7479cba7"))

	k := s.Derive(gir, ni, nr, spii, spir)
	same(t, "DKM", slices.Concat(k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr), dkm)

	for name, c := range map[string]struct{ secret, want []byte }{"Child SA": {nil, child}, "Child SA D-H": {girNew, childD}} {
		for _, suite := range []esp.Suite{
			{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA1},
			{Encryption: esp.AESGCM, KeyBits: 256},
			{Encryption: esp.ChaCha20Poly1305, KeyBits: 256},
		} {
			i, r := ChildKeys(s, k.D, Child{Suite: suite}, c.secret, ni, nr)
			got := slices.Concat(i.Encryption, i.Integrity, r.Encryption, r.Integrity)
			same(t, name, got, c.want[:len(got)])
			if i.Suite != suite || r.Suite != suite || bytes.Equal(i.Encryption, r.Encryption) {
				t.Error(name, "keys of both directions")
			}
		}
	}

	next := s.Rekey(s.PRF, k.D, girNew, ni, nr, spii, spir)
	seed := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(slices.Concat(ni, nr), spii), spir)
	same(t, "SKEYSEED(Rekey)", slices.Concat(next.D, next.Ai, next.Ar, next.Ei, next.Er, next.Pi, next.Pr),
		s.PRF.Plus(rekey, seed, 3*20+2*20+2*16))
}

// TestCAVPSeeds is NIST's SKEYSEED of SP 800-135 for the SHA-2 PRFs.
func TestCAVPSeeds(t *testing.T) {
	cases := []struct {
		prf                 PRF
		nonces, gir, expect string
	}{
		{PRFHMACSHA256, "ed80dc79912c32a935fb6d1a3feac078",
			`42968e5d0ccc3cfc5a3e4bc1bba370ce a1fae0d54c49ccba34b2bee804beeb2e 9e8c57a4e01bd45102cf2433aacc6cfe c06792f363e5170e6aa6650274e90664
			 8e449d27a8f00b5b44261982c9835c74 8a751ec5138eaacc5e025661339538a6 1bf418e454699e19c32db8d9ce5dd86b 220f1e89afc5872e68be36cb1a0c8866`,
			"37fde90b81d63692620f67367b62092e3efdc6a03509137d731004767ff35010"},
		{PRFHMACSHA384, "d672b0bc852829b93509f3b724706364",
			`4df040b70978629c49437cff41a0d46c bea68c8d75b370ffc11d7b387144ea83 bb5903fbb92e473df50a9b19ea43e9c2 f3da9a849c03864276c6f264ecf02a60
			 d40ba65c06656b633f02a87427e928eb 66a2dabd9dc05744717bcaf7ae78c296 872f5c48d1a8120c2155b70c565ce271 998e3e44af263d487ea3ba7f56132d7d`,
			"54436a9ea95d6ff79b967f4b07f6de976a376e8ea26aa9574709afc60243c9c141da4ca0e158e627a75ea87f6feb07ef"},
		{PRFHMACSHA512, "df7931db9b429e10b8aa8e4d46042393",
			`1e3b007d2da913ca60ecc98c25a22db0 8073d5c35c11b2524b298a922b6abfe6 acf7359db66ae5f85d67aacff686419c d8666d05ae7977cefad7f54dd8e312a8
			 e8e5e0370f88142fbdd659dd6fde22bd d531f5402881a8de85c1024e595ec93c 575618af7fd3dbac7982919078d71cc1 3eff1910a032750e1ff428675de189ee`,
			"daf9bd6f2f912da553867966af386e67909a8df0ca7e84b83b355cb7d7f1026f17d8ea34b5d57fd0d1ba389528fca1e81d1c8ce511b28a2458241143fee30ccc"},
	}
	for _, c := range cases {
		same(t, c.prf.String(), c.prf.Sum(octets(t, c.nonces), octets(t, c.gir)), octets(t, c.expect))
	}
}

// TestPlus writes RFC 7296 section 2.13 out.
func TestPlus(t *testing.T) {
	sum := func(data ...[]byte) []byte {
		h := hmac.New(sha256.New, []byte("key"))
		h.Write(bytes.Join(data, nil))
		return h.Sum(nil)
	}
	seed := []byte("seed")
	t1 := sum(seed, []byte{1})
	t2 := sum(t1, seed, []byte{2})
	t3 := sum(t2, seed, []byte{3})
	all := slices.Concat(t1, t2, t3)
	for n := range len(all) + 1 {
		same(t, fmt.Sprint(n), PRFHMACSHA256.Plus([]byte("key"), seed, n), all[:n])
	}
	if got := PRFHMACSHA256.Plus([]byte("key"), seed, 255*32); len(got) != 255*32 {
		t.Errorf("%d octets", len(got))
	}
}

// TestPlusBounds: the counter of prf+ has an octet: more than 255 blocks would repeat themselves.
func TestPlusBounds(t *testing.T) {
	for _, n := range []int{-1, 255*32 + 1, 1 << 40} {
		mustPanic(t, func() { PRFHMACSHA256.Plus(nil, nil, n) })
	}
	for _, p := range []PRF{0, 1, 3, 4, 8, 1025} {
		if p.Available() || p.Size() != 0 {
			t.Errorf("%v is available", p)
		}
		mustPanic(t, func() { p.Sum(nil) })
	}
}

// TestMixing writes out RFC 7296 section 2.18 and RFC 9370 sections 2.2.2 and 2.2.4 with the PRF alone.
func TestMixing(t *testing.T) {
	ni, nr := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	sk0, sk1, sk2 := []byte("first secret"), []byte("second secret"), []byte("third secret")
	s := suites[2]
	seed := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(slices.Concat(ni, nr), 11), 22)
	stream := func(k *Keys) []byte { return slices.Concat(k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr) }
	check := func(name string, k *Keys, skeyseed []byte) {
		got := stream(k)
		same(t, name, got, s.PRF.Plus(skeyseed, seed, len(got)))
		if len(k.D) != 48 || len(k.Ei) != 36 || len(k.Er) != 36 || len(k.Ai) != 0 || len(k.Ar) != 0 || len(k.Pr) != 48 {
			t.Errorf("%s: key lengths", name)
		}
	}
	k := s.Derive(sk0, ni, nr, 11, 22)
	check("2.14", k, s.PRF.Sum(slices.Concat(ni, nr), sk0))
	d := bytes.Clone(k.D)
	k1 := s.Mix(k, sk1, ni, nr, 11, 22)
	check("9370 2.2.2, SK(1)", k1, s.PRF.Sum(d, slices.Concat(sk1, ni, nr)))
	k2 := s.Mix(k1, sk2, ni, nr, 11, 22)
	check("9370 2.2.2, SK(2)", k2, s.PRF.Sum(k1.D, slices.Concat(sk2, ni, nr)))

	old := PRFHMACSHA256 // section 2.18: SKEYSEED by the PRF of the old SA, the keys by that of the new
	check("2.18", s.Rekey(old, d, sk0, ni, nr, 11, 22), old.Sum(d, slices.Concat(sk0, ni, nr)))
	check("9370 2.2.4", s.Rekey(old, d, sk0, ni, nr, 11, 22, sk1, sk2), old.Sum(d, slices.Concat(sk0, ni, nr, sk1, sk2)))

	child := Child{Suite: esp.Suite{Encryption: esp.AESCBC, KeyBits: 128, Integrity: esp.HMACSHA256}}
	i, r := ChildKeys(s, d, child, sk0, ni, nr, sk1, sk2)
	want := s.PRF.Plus(d, slices.Concat(sk0, ni, nr, sk1, sk2), 2*(16+32))
	same(t, "9370 2.2.4, Child SA", slices.Concat(i.Encryption, i.Integrity, r.Encryption, r.Integrity), want)
	if bytes.Equal(stream(k), stream(k1)) || bytes.Equal(stream(k1), stream(k2)) {
		t.Error("mixing changes nothing")
	}
}

// TestPPK: RFC 8784 section 3: SK_d, SK_pi and SK_pr change, the keys of the messages do not.
func TestPPK(t *testing.T) {
	for _, s := range suites {
		k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
		before := k.Clone()
		ppk := []byte("a post-quantum preshared key")
		k.AddPPK(s, ppk)
		same(t, "SK_d", k.D, s.PRF.Plus(ppk, before.D, s.PRF.Size()))
		same(t, "SK_pi", k.Pi, s.PRF.Plus(ppk, before.Pi, s.PRF.Size()))
		same(t, "SK_pr", k.Pr, s.PRF.Plus(ppk, before.Pr, s.PRF.Size()))
		same(t, "the others", slices.Concat(k.Ai, k.Ar, k.Ei, k.Er), slices.Concat(before.Ai, before.Ar, before.Ei, before.Er))
		if bytes.Equal(k.D, before.D) {
			t.Error("SK_d is as before")
		}
	}
}

// TestKeyLengths: CVE-2024-3652: no suite has keys without octets.
func TestKeyLengths(t *testing.T) {
	for _, s := range suites {
		k := s.Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
		encryption := s.KeyBits / 8
		if s.Integrity == esp.NoIntegrity {
			encryption += 4
		}
		if len(k.Ei) != encryption || len(k.Er) != encryption || len(k.Ai) != len(k.Ar) || (len(k.Ai) == 0) != (s.Integrity == esp.NoIntegrity) {
			t.Errorf("%v: %d, %d octets", s, len(k.Ei), len(k.Ai))
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	}
}

var unusable = []IKE{
	{},
	{Encryption: esp.AESGCM, PRF: PRFHMACSHA256, Group: X25519},                                                       // no key
	{Encryption: esp.AESGCM, KeyBits: 64, PRF: PRFHMACSHA256, Group: X25519},                                          // short key
	{Encryption: esp.AESGCM, KeyBits: 65536 + 128, PRF: PRFHMACSHA256, Group: X25519},                                 // wraps around
	{Encryption: esp.AESGCM, KeyBits: 128, Integrity: esp.HMACSHA256, PRF: PRFHMACSHA256, Group: X25519},              // RFC 5282 section 8
	{Encryption: esp.AESCBC, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519},                                         // no integrity
	{Encryption: esp.AESCBC, KeyBits: 128, Integrity: 1, PRF: PRFHMACSHA256, Group: X25519},                           // MD5
	{Encryption: 11, Integrity: esp.HMACSHA256, PRF: PRFHMACSHA256, Group: X25519},                                    // NULL
	{Encryption: 21, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519},                                                 // GMAC
	{Encryption: esp.ChaCha20Poly1305, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519},                               // key of 256 only
	{Encryption: esp.AESGCM, KeyBits: 128, PRF: 4, Group: X25519},                                                     // XCBC
	{Encryption: esp.AESGCM, KeyBits: 128, PRF: PRFHMACSHA256},                                                        // no key exchange
	{Encryption: esp.AESGCM, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519, Additional: []Group{MLKEM512}},          // not here
	{Encryption: esp.AESGCM, KeyBits: 128, PRF: PRFHMACSHA256, Group: X25519, Additional: []Group{MLKEM768, NoGroup}}, // nothing
}

// TestUnusableSuites: CVE-2016-3071, CVE-2018-10811, CVE-2024-3652: what is not available, or leaves a key empty, is
// found out by Check, and makes no keys.
func TestUnusableSuites(t *testing.T) {
	for _, s := range unusable {
		if s.Check() == nil {
			t.Errorf("%v is usable", s)
		}
	}
	for _, s := range unusable[:10] {
		if _, err := s.NewCipher(make([]byte, 36), nil); err == nil {
			t.Errorf("%v has a cipher", s)
		}
		mustPanic(t, func() { s.Derive(nil, nil, nil, 0, 0) })
		child := Child{Suite: esp.Suite{Encryption: s.Encryption, KeyBits: s.KeyBits, Integrity: s.Integrity}}
		mustPanic(t, func() { ChildKeys(suites[0], nil, child, nil, nil, nil) })
	}
}

func TestKeysClear(t *testing.T) {
	k := suites[6].Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
	copied := k.Clone()
	held := *k
	k.Clear()
	for _, key := range held.all() {
		if len(*key) == 0 || len(bytes.Trim(*key, "\x00")) > 0 {
			t.Error("a key is left in memory")
		}
	}
	for _, key := range k.all() {
		if *key != nil {
			t.Error("a key is left")
		}
	}
	for _, key := range copied.all() {
		if len(bytes.Trim(*key, "\x00")) == 0 {
			t.Error("the clone was cleared as well")
		}
	}
}

// TestKeysDoNotTouch: appending to one key must not write into the next.
func TestKeysDoNotTouch(t *testing.T) {
	k := suites[6].Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
	for _, key := range k.all() {
		if cap(*key) != len(*key) {
			t.Error("a key can grow into the next")
		}
	}
}

// TestKeysAreNotPrinted: secrets are in no log.
func TestKeysAreNotPrinted(t *testing.T) {
	k := suites[0].Derive([]byte("secret"), make([]byte, 16), make([]byte, 16), 1, 2)
	secret := fmt.Sprintf("%x", k.D)[:8]
	decimal := strings.Trim(fmt.Sprint(k.D[:3]), "[]")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, text := range []string{fmt.Sprintf(format, k), fmt.Sprintf(format, *k), fmt.Sprintf(format, struct{ K *Keys }{k})} {
			if strings.Contains(text, secret) || strings.Contains(text, decimal) {
				t.Errorf("%s prints the keys", format)
			}
		}
	}
}

func BenchmarkDerive(b *testing.B) {
	secret, nonce := make([]byte, 32), make([]byte, 32)
	for b.Loop() {
		suites[2].Derive(secret, nonce, nonce, 1, 2)
	}
}
