package esp

import (
	"bytes"
	"crypto/hmac"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openerAt is an opener whose window has reached the number before seq. A vector may have a reserved SPI, or a key of zeroes.
func openerAt(t *testing.T, spi uint32, k Keys, esn bool, seq uint64) *Opener {
	t.Helper()
	o, err := newOpener(spi, k, esn, MinWindow)
	if err != nil {
		t.Fatal(err)
	}
	o.window.top.Store(seq - 1)
	return o
}

// aeadVector is a whole packet, taken apart as its source prints it. An AAD of 12 octets has an extended sequence number.
type aeadVector struct{ key, nonce, plain, aad, sealed string }

// draft-mcgrew-gcm-test-01 section 4, without the cases for GMAC.
var mcgrew = []aeadVector{
	{"4c80cdefbb5d10da906ac73c3613a634", "2e443b684956ed7e3b244cfe", "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f756470037369700963796265726369747902646b000021000101020201", "000043218765432100000000", "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732 459018148f6cbe722fd04796562dfdb4"},
	{"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000037369700963796265726369747902646b00000100010001", "0000a5f80000000a", "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1 83b70d3aa8bc6ee4c309e9d85a41ad4a"},
	{"abbccddef00112233445566778899aababbccddef00112233445566778899aab", "112233440102030405060708", "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201", "4a2cbfe300000002", "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8e b335f4eecfdbf831824b4c4915956c96"},
	{"00000000000000000000000000000000", "000000000000000000000000", "4500003c99c500008001cb7a40679318010101010800075c020044006162636465666768696a6b6c6d6e6f707172737475767761626364656667686901020201", "0000000000000001", "4688daf2f973a392732909c331d56d60f694abaa414b5e7ff5fdcdfff5e9a284456476492719ffb64de7d9dca1e1d894bc3bd57873ed4d181d19d4d5c8c18af3 f821d496eeb096e98ad2b69e4799c71d"},
	{"3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3", "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c6d6e6f707172737475767761626364656667686901020201", "42f67e3f1010101010101010", "fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d1f5e22739530320a e0d731cc978ecafaeae88f00e80d6e48"},
	{"3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3", "4500001c42a200008001441f406793b6e00000020a00f5ff01020201", "42f67e3f1010101010101010", "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed 369f071f35e034be95f112e4e7d05d35"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c", "cafebabefacedbaddecaf888", "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001", "0000a5f80000000a", "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77 95457b9652037f5318027b5b4cd7a636"},
	{"abbccddef00112233445566778899aab", "decaf888cafedebaceface74", "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18d75b81dc91baa0476b91b924b280389d92c963bac046ec959b6266c04722b14923010101", "000001000000000000000001", "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb01984e65863965d7472b79da345e0e780191f0d2f0e0f496c226f2127b27db35724e7845d68 651f57e65f354f75ff17015769623436"},
	{"abbccddef00112233445566778899aababbccddef00112233445566778899aab", "73616c74616e640169766563", "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001", "17405e67156f3126dd0db99b", "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e 451626c2415771e3b7eebca614c89b35"},
	{"3de09874b388e6491988d0c3607eae1f", "57690e434e280000a2fca1a3", "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18d65759d52284a0352c71475c8880391c764d6e5ee0496b325ae270c03899493915010101", "42f67e3f1010101010101010", "fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24b0a97d54182800cadb0f68d99ef0e0c0c89ae9bea8884e52d65bc1afd0740f742444747b5b39ab533163aad4550ee5160975 cdb608c5769189609763b8e18caa81e2"},
	{"abbccddef00112233445566778899aababbccddef00112233445566778899aab", "73616c74616e640169766563", "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f67696573017468617477696c6c01646566696e65746f6d6f72726f7701020201", "17405e67156f3126dd0db99b", "d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb56831226508bebd2dceb18d0a6df10e5487df074113e14c641024e3e6773d91a62ee429b043a10e3efe6b012a49363412364f8 c0cac587f249e56b11e24f30e44ccc76"},
	{"7d773d00c144c525ac619d18c84a3f47", "d966426743457e9182443bc6", "01020201", "335467aeffffffff", "437f866b cb3f699fe9b0822bac961c4504bef270"},
	{"abbccddef00112233445566778899aab", "decaf888cafedebaceface74", "746f016265016f72016e6f7401746f0162650001", "000001000000000000000001", "29c9fc69a197d038ccdd14e2ddfcaa0543332164 412503524303ed3c6c5f283843af8c3e"},
	{"6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961", "7475726e333021696765746d", "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201", "796b6963ffffffffffffffff", "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63b9 d0937ba2945f669368661a329fb4c053"},
}

func TestVectorsMcGrewGCM(t *testing.T) {
	for i, v := range mcgrew {
		openVector(t, i, AESGCM, v)
	}
}

func TestVectorRFC7634AppendixA(t *testing.T) {
	openVector(t, 0, ChaCha20Poly1305, aeadVector{
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a31011121314151617",
		"45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
		"0102030400000005",
		"24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0 76aaa8266b7fb0f7b11b369907e1ad43",
	})
}

// openVector opens the vector's packet, and seals its plaintext again with the vector's IV in the place of ours.
func openVector(t *testing.T, i int, e Encryption, v aeadVector) {
	t.Helper()
	key, nonce, aad, plain, sealed := unhex(t, v.key), unhex(t, v.nonce), unhex(t, v.aad), unhex(t, v.plain), unhex(t, v.sealed)
	k := func() Keys {
		return Keys{Suite: Suite{Encryption: e, KeyBits: 8 * len(key)}, Encryption: append(bytes.Clone(key), nonce[:4]...)}
	}
	spi, esn := binary.BigEndian.Uint32(aad), len(aad) == 12
	seq := uint64(binary.BigEndian.Uint32(aad[len(aad)-4:]))
	if esn {
		seq = binary.BigEndian.Uint64(aad[4:])
	}
	packet := append(binary.BigEndian.AppendUint32(bytes.Clone(aad[:4]), uint32(seq)), nonce[4:]...)
	packet = append(packet, sealed...)
	if seq == 1<<64-1 { // the last there is: nothing may follow, so the window is asked nothing
		o := openerAt(t, spi, k(), esn, 1)
		got, ok := o.decrypt(make([]byte, 0, len(packet)), packet, seq)
		if !ok || !bytes.Equal(got, plain) {
			t.Errorf("case %d: decrypted %x, %t", i, got, ok)
		}
		return
	}
	o := openerAt(t, spi, k(), esn, seq)
	got, next, err := o.Open(nil, packet)
	want := plain[:len(plain)-2-int(plain[len(plain)-2])]
	if err != nil || !bytes.Equal(got, want) || next != plain[len(plain)-1] {
		t.Errorf("case %d: opened %x, next header %d, %v", i, got, next, err)
	}
	if _, _, err := o.Open(nil, packet); !errors.Is(err, ErrReplay) {
		t.Errorf("case %d: the same again: %v", i, err)
	}
}

// fixedIV is a block cipher that encrypts everything to a vector's IV.
type fixedIV []byte

func (fixedIV) BlockSize() int          { return aesBlock }
func (f fixedIV) Encrypt(dst, _ []byte) { copy(dst, f) }
func (fixedIV) Decrypt([]byte, []byte)  { panic("not used") }

// RFC 3602 section 4, cases 5 to 8: packets without an ICV.
func TestVectorsRFC3602(t *testing.T) {
	for _, v := range []struct{ name, key, payload, packet string }{
		{"case 5, transport mode", "90d382b410eeba7ad938c46cec1a82bf", "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637", "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"},
		{"case 6, transport mode", "90d382b410eeba7ad938c46cec1a82bf", "0800b5e8a80a0500a69c083d0b660e00777777777777777777777777", "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75"},
		{"case 7, tunnel mode", "0123456789abcdef0123456789abcdef", "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637", "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d"},
		{"case 8, tunnel mode", "0123456789abcdef0123456789abcdef", "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892"},
	} {
		for _, esn := range []bool{false, true} {
			packet, payload, mac := unhex(t, v.packet), unhex(t, v.payload), bytes.Repeat([]byte{7}, 32)
			spi, seq := binary.BigEndian.Uint32(packet), uint64(binary.BigEndian.Uint32(packet[4:]))
			k := func() Keys {
				return Keys{Suite{AESCBC, 128, HMACSHA256}, unhex(t, v.key), bytes.Clone(mac)}
			}
			h := hmac.New(HMACSHA256.hash(), mac)
			h.Write(packet)
			if esn { // RFC 4303 section 2.2.1: the high half is covered and not sent
				h.Write(make([]byte, 4))
			}
			packet = append(packet, h.Sum(nil)[:16]...)
			next := uint8(1)
			if payload[0] == 0x45 {
				next = 4
			}
			got, n, err := openerAt(t, spi, k(), esn, seq).Open(nil, packet)
			if err != nil || !bytes.Equal(got, payload) || n != next {
				t.Errorf("%s, ESN %t: opened %x, next header %d, %v", v.name, esn, got, n, err)
			}
			s, err := NewSealer(spi, k(), esn)
			if err != nil {
				t.Fatal(err)
			}
			s.cbc.iv = fixedIV(packet[8:24])
			if sealed := s.Seal(nil, seq, withTrailer(s, payload, next)); !bytes.Equal(sealed, packet) {
				t.Errorf("%s, ESN %t: sealed\n%x, want\n%x", v.name, esn, sealed, packet)
			}
		}
	}
}

func withTrailer(s *Sealer, payload []byte, next uint8) []byte {
	plain := append(bytes.Clone(payload), make([]byte, s.TrailerLen(len(payload)))...)
	s.PutTrailer(plain[len(payload):], next)
	return plain
}

// RFC 2202 section 3 and RFC 4868 section 2.7.2, as far as their keys are as long as the algorithm's are in ESP.
func TestVectorsHMAC(t *testing.T) {
	hi, dd := []byte("Hi There"), bytes.Repeat([]byte{0xdd}, 50)
	for _, v := range []struct {
		name      string
		integrity Integrity
		key       byte
		data      []byte
		want      string
	}{
		{"RFC 2202 case 1", HMACSHA1, 0x0b, hi, "b617318655057264e28bc0b6fb378c8ef146be00"},
		{"RFC 2202 case 3", HMACSHA1, 0xaa, dd, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
		{"RFC 4868 AUTH256-1", HMACSHA256, 0x0b, hi, "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"},
		{"RFC 4868 AUTH256-3", HMACSHA256, 0xaa, dd, "cdcb1220d1ecccea91e53aba3092f962e549fe6ce9ed7fdc43191fbde45c30b0"},
		{"RFC 4868 AUTH384-1", HMACSHA384, 0x0b, hi, "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee9737a959796489bddbc4c5df61d5b3297b4fb68dab9f1b582c2"},
		{"RFC 4868 AUTH512-1", HMACSHA512, 0x0b, hi, "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8ac2878ebd5803f6f0b61dbce5e251ff8789a4722c1be65aea45fd464e89f8f5b"},
	} {
		suite := Suite{AESCBC, 128, v.integrity}
		want := unhex(t, v.want)[:suite.ICVLen()]
		if got := macOf(t, suite, bytes.Repeat([]byte{v.key}, v.integrity.keyLen()), v.data); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", v.name, got, want)
		}
	}
}

func macOf(t *testing.T, suite Suite, key, data []byte) []byte {
	t.Helper()
	c, err := newCBC(Keys{suite, make([]byte, 16), key}, false)
	if err != nil {
		t.Fatal(err)
	}
	return c.sum(c.scratch(), data, 0, false)
}

//go:embed testdata/wycheproof.txt
var wycheproof string

func TestWycheproof(t *testing.T) {
	ran := map[string]int{}
	for line := range strings.Lines(wycheproof) {
		f := strings.Split(strings.TrimSpace(line), " ") // "-" is the empty string
		if f[0] == "#" {
			continue
		}
		var args [][]byte
		for _, a := range f[3:] {
			args = append(args, unhex(t, strings.Trim(a, "-")))
		}
		ran[f[0]]++
		if got := wycheproofHolds(t, f[0], args); got != (f[2] == "valid") {
			t.Errorf("%s test %s is %s, and we say %t", f[0], f[1], f[2], got)
		}
	}
	for _, name := range []string{"gcm", "chacha", "sha1", "sha256", "sha384", "sha512", "cbc"} {
		if ran[name] < 50 {
			t.Errorf("%d cases of %s: the file is not whole", ran[name], name)
		}
	}
}

// wycheproofHolds reports whether our ciphers take a case to be valid.
func wycheproofHolds(t *testing.T, name string, a [][]byte) bool {
	t.Helper()
	switch name {
	case "gcm":
		return aeadHolds(t, AESGCM, a)
	case "chacha":
		return aeadHolds(t, ChaCha20Poly1305, a)
	case "cbc":
		return cbcHolds(t, a)
	}
	suite := Suite{AESCBC, 128, map[string]Integrity{"sha1": HMACSHA1, "sha256": HMACSHA256, "sha384": HMACSHA384, "sha512": HMACSHA512}[name]}
	n := min(len(a[2]), suite.ICVLen()) // a shorter or longer tag is the same HMAC, cut elsewhere
	return bytes.Equal(macOf(t, suite, a[0], a[1])[:n], a[2][:n])
}

func aeadHolds(t *testing.T, e Encryption, a [][]byte) bool {
	key, iv, aad, msg, sealed := a[0], a[1], a[2], a[3], a[4]
	var salt [saltLen]byte
	k := Keys{Suite{e, 8 * len(key), NoIntegrity}, append(bytes.Clone(key), iv[:saltLen]...), nil}
	c, err := newAEAD(k, &salt)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.Open(nil, append(salt[:], iv[saltLen:]...), sealed, aad)
	return err == nil && bytes.Equal(plain, msg)
}

// cbcHolds decrypts, and puts the padding of PKCS #5 behind what should come out.
func cbcHolds(t *testing.T, a [][]byte) bool {
	key, iv, msg, sealed := a[0], a[1], a[2], a[3]
	c, err := newCBC(Keys{Suite{AESCBC, 8 * len(key), HMACSHA256}, key, make([]byte, 32)}, false)
	if err != nil {
		t.Fatal(err)
	}
	w, got := c.scratch(), make([]byte, len(sealed))
	w.cbc.SetIV(iv)
	w.cbc.CryptBlocks(got, sealed)
	pad := aesBlock - len(msg)%aesBlock
	return bytes.Equal(got, append(bytes.Clone(msg), bytes.Repeat([]byte{byte(pad)}, pad)...))
}
