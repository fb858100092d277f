package esp

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const testSPI = 0xc0ffee01

var suites = []Suite{
	{AESGCM, 128, NoIntegrity}, {AESGCM, 192, NoIntegrity}, {AESGCM, 256, NoIntegrity},
	{ChaCha20Poly1305, 256, NoIntegrity},
	{AESCBC, 128, HMACSHA1}, {AESCBC, 128, HMACSHA256}, {AESCBC, 192, HMACSHA384}, {AESCBC, 256, HMACSHA256}, {AESCBC, 256, HMACSHA512},
}

func keysOf(s Suite) Keys {
	e, i := s.KeyLens()
	k := Keys{s, make([]byte, e), make([]byte, i)}
	for n := range k.Encryption {
		k.Encryption[n] = byte(n + 1)
	}
	for n := range k.Integrity {
		k.Integrity[n] = byte(0x80 + n)
	}
	return k
}

func pair(t testing.TB, s Suite, esn bool) (*Sealer, *Opener) {
	t.Helper()
	sealer, err := NewSealer(testSPI, keysOf(s), esn)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := NewOpener(testSPI, keysOf(s), esn, MinWindow)
	if err != nil {
		t.Fatal(err)
	}
	return sealer, opener
}

// each runs f for every suite, with extended sequence numbers and without.
func each(t *testing.T, f func(t *testing.T, s *Sealer, o *Opener)) {
	for _, suite := range suites {
		for _, esn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s esn %t", suite, esn), func(t *testing.T) {
				s, o := pair(t, suite, esn)
				f(t, s, o)
			})
		}
	}
}

func seal(t testing.TB, s *Sealer, payload []byte) []byte {
	t.Helper()
	seq, ok := s.Reserve(1)
	if !ok {
		t.Fatal("no number left")
	}
	return s.Seal(nil, seq, withTrailer(s, payload, 47))
}

func payloadOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, s *Sealer, o *Opener) {
		for n := range 100 {
			payload := payloadOf(n)
			packet := seal(t, s, payload)
			if len(packet) != n+s.Overhead(n) || len(packet) > n+Overhead(s.Suite()) {
				t.Fatalf("%d octets became %d; overhead %d, at most %d", n, len(packet), s.Overhead(n), Overhead(s.Suite()))
			}
			if c := len(packet) - headerLen - s.suite.IVLen() - s.suite.ICVLen(); c%s.suite.BlockSize() != 0 {
				t.Errorf("%d octets of ciphertext end on no boundary", c)
			}
			before := []byte("what a caller has already")
			dst := append(make([]byte, 0, 4096), before...)
			got, next, err := o.Open(dst, packet)
			if err != nil || next != 47 || !bytes.Equal(got, payload) {
				t.Fatalf("%d octets: %x, %d, %v", n, got, next, err)
			}
			if whole := dst[:len(dst)+len(got)]; !bytes.Equal(whole, append(before, payload...)) {
				t.Errorf("%d octets: the payload is not right behind what was there", n)
			}
		}
	})
}

func TestSealAppends(t *testing.T) {
	s, _ := pair(t, suites[0], false)
	before := []byte("outer header")
	dst := append(make([]byte, 0, 4096), before...)
	packet := s.Seal(dst, 1, withTrailer(s, payloadOf(33), 47))
	if !bytes.HasPrefix(packet, before) || &packet[0] != &dst[0] {
		t.Error("not behind what was there, in its memory")
	}
	if want := s.Seal(nil, 1, withTrailer(s, payloadOf(33), 47)); !bytes.Equal(packet[len(before):], want) {
		t.Error("another packet than alone")
	}
}

func TestOverheadAndMaxPayload(t *testing.T) {
	for _, suite := range suites {
		most := 0
		for n := range 3000 {
			most = max(most, suite.Overhead(n))
		}
		if most != Overhead(suite) {
			t.Errorf("%s: overhead is %d at most, not %d", suite, most, Overhead(suite))
		}
		for room := range 3000 {
			n := suite.MaxPayload(room)
			if n > 0 && n+suite.Overhead(n) > room || room > 100 && n+1+suite.Overhead(n+1) <= room {
				t.Fatalf("%s: %d in %d octets", suite, n, room)
			}
		}
	}
}

func TestTrailerRFC4303(t *testing.T) {
	s, _ := pair(t, Suite{AESCBC, 128, HMACSHA256}, false)
	b := make([]byte, s.TrailerLen(10))
	if s.PutTrailer(b, 41); !bytes.Equal(b, []byte{1, 2, 3, 4, 4, 41}) {
		t.Errorf("trailer % x", b)
	}
	if n := s.TrailerLen(15); n != 17 {
		t.Errorf("15 octets get a trailer of %d, want 17", n)
	}
}

// The last byte of every packet, every octet changed, every length cut: nothing opens, and the packet still does after it.
func TestMutationsDoNotOpen(t *testing.T) {
	each(t, func(t *testing.T, s *Sealer, o *Opener) {
		packet := seal(t, s, payloadOf(40))
		for i := range packet {
			bad := bytes.Clone(packet)
			bad[i] ^= 0x40
			if _, _, err := o.Open(nil, bad); err == nil {
				t.Fatalf("octet %d changed, and it opened", i)
			}
			if _, _, err := o.Open(nil, packet[:i]); err == nil {
				t.Fatalf("cut to %d octets, it opened", i)
			}
		}
		if _, _, err := o.Open(nil, append(bytes.Clone(packet), 0)); err == nil {
			t.Error("an octet more, and it opened")
		}
		if _, _, err := o.Open(nil, packet); err != nil {
			t.Errorf("forgeries have used up its number: %v", err)
		}
		if _, _, err := o.Open(nil, packet); !errors.Is(err, ErrReplay) {
			t.Errorf("it opened twice: %v", err)
		}
	})
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, s *Sealer, o *Opener) {
		packet := seal(t, s, payloadOf(40))
		other := bytes.Clone(packet)
		other[0]++
		forged := bytes.Clone(packet)
		forged[len(forged)-1]++
		zero := bytes.Clone(packet)
		clear(zero[4:8])
		for _, c := range []struct {
			name   string
			packet []byte
			want   error
		}{
			{"nothing", nil, ErrMalformed},
			{"a NAT keepalive", []byte{0xff}, ErrMalformed},
			{"a header alone", packet[:8], ErrMalformed},
			{"an IV and an ICV around nothing", packet[:8+s.suite.IVLen()+s.suite.ICVLen()], ErrMalformed},
			{"another SPI", other, ErrMalformed},
			{"a wrong ICV", forged, ErrIntegrity},
			{"sequence number 0", zero, ErrReplay},
		} {
			if _, _, err := o.Open(nil, c.packet); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
	})
}

// A peer that has the keys, and pads as it likes. free5GC #997: a pad length above the plaintext's must not panic.
func TestPadding(t *testing.T) {
	each(t, func(t *testing.T, s *Sealer, o *Opener) {
		for _, c := range []struct {
			name    string
			trailer []byte // at the end of 32 octets
			want    error
		}{
			{"longer than the plaintext: free5GC #997", []byte{255, 47}, ErrMalformed},
			{"one more than there is", []byte{31, 47}, ErrMalformed},
			{"not 1, 2, 3: RFC 4303 section 2.4", []byte{1, 2, 4, 3, 47}, ErrMalformed},
			{"all zero", []byte{0, 0, 0, 3, 47}, ErrMalformed},
			{"none", []byte{0, 47}, nil},
			{"more than needed", []byte{1, 2, 3, 4, 5, 6, 7, 7, 47}, nil},
		} {
			plain := bytes.Repeat([]byte{9}, 32)
			copy(plain[32-len(c.trailer):], c.trailer)
			seq, _ := s.Reserve(1)
			if _, _, err := o.Open(nil, s.Seal(nil, seq, plain)); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		whole := make([]byte, 32) // padding alone: a payload of nothing
		s.PutTrailer(whole, NoNextHeader)
		seq, _ := s.Reserve(1)
		if got, next, err := o.Open(nil, s.Seal(nil, seq, whole)); err != nil || len(got) != 0 || next != NoNextHeader {
			t.Errorf("RFC 4303 section 2.6, a dummy: %x, %d, %v", got, next, err)
		}
	})
}

// A peer that has the keys and sends ciphertext of no whole block: authentic, and nothing that CBC could decrypt.
func TestCBCOfNoWholeBlock(t *testing.T) {
	s, o := pair(t, Suite{AESCBC, 128, HMACSHA256}, false)
	for n := range 3 * aesBlock {
		packet := s.Seal(nil, uint64(n+1), make([]byte, 4*aesBlock))
		packet = packet[:headerLen+aesBlock+n]
		packet = append(packet, s.cbc.sum(s.cbc.scratch(), packet, uint64(n+1), false)...)
		if _, _, err := o.Open(nil, packet); (err == nil) != (n > 0 && n%aesBlock == 0) {
			t.Errorf("%d octets of ciphertext: %v", n, err)
		}
	}
}

// meanwhile is an AEAD during whose work something else happens.
type meanwhile struct {
	cipher.AEAD
	do func()
}

func (m *meanwhile) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.AEAD.Open(dst, nonce, sealed, aad)
}

// Two goroutines have the same packet; both found its number fresh, and one is first.
func TestReplayWhileDecrypting(t *testing.T) {
	s, o := pair(t, suites[0], false)
	packet := seal(t, s, payloadOf(20))
	var first error
	o.aead = &meanwhile{o.aead, func() { _, _, first = o.Open(nil, packet) }}
	if _, _, second := o.Open(nil, packet); first != nil || !errors.Is(second, ErrReplay) {
		t.Errorf("the first: %v, the second: %v", first, second)
	}
}

func TestKeysAreChecked(t *testing.T) {
	cut := func(k Keys, e, i int) Keys {
		return Keys{k.Suite, k.Encryption[:len(k.Encryption)+e], k.Integrity[:len(k.Integrity)+i]}
	}
	gcm, cbc := keysOf(Suite{AESGCM, 256, NoIntegrity}), keysOf(Suite{AESCBC, 256, HMACSHA256})
	for _, c := range []struct {
		name string
		spi  uint32
		keys Keys
	}{
		{"CVE-2024-3652: no key material at all", testSPI, Keys{Suite: gcm.Suite}},
		{"CVE-2024-3652: GMAC is not encryption", testSPI, Keys{Suite: Suite{21, 128, NoIntegrity}, Encryption: ones(20)}},
		{"no algorithm", testSPI, Keys{}},
		{"null encryption", testSPI, Keys{Suite: Suite{11, 0, HMACSHA256}, Integrity: ones(32)}},
		{"a key without its salt", testSPI, cut(gcm, -4, 0)},
		{"a short key", testSPI, cut(cbc, -1, 0)},
		{"a short integrity key", testSPI, cut(cbc, 0, -1)},
		{"no integrity key", testSPI, Keys{cbc.Suite, ones(32), nil}},
		{"CBC without integrity", testSPI, Keys{Suite: Suite{AESCBC, 128, NoIntegrity}, Encryption: ones(16)}},
		{"integrity twice", testSPI, Keys{Suite{AESGCM, 128, HMACSHA256}, ones(20), ones(32)}},
		{"an AEAD with an integrity key", testSPI, Keys{gcm.Suite, ones(36), ones(32)}},
		{"a key length that AES has not", testSPI, Keys{Suite: Suite{AESGCM, 160, NoIntegrity}, Encryption: ones(24)}},
		{"a key length that ChaCha20 has not", testSPI, Keys{Suite: Suite{ChaCha20Poly1305, 128, NoIntegrity}, Encryption: ones(20)}},
		{"a negative key length", testSPI, Keys{Suite: Suite{AESGCM, -32, NoIntegrity}}},
		{"a key that was cleared", testSPI, Keys{Suite: gcm.Suite, Encryption: make([]byte, 36)}},
		{"an integrity key that was cleared", testSPI, Keys{cbc.Suite, bytes.Repeat([]byte{1}, 32), make([]byte, 32)}},
		{"a reserved SPI", 255, keysOf(gcm.Suite)},
		{"SPI 0", 0, keysOf(gcm.Suite)},
	} {
		if s, err := NewSealer(c.spi, c.keys, true); err == nil || s != nil {
			t.Errorf("%s: a sealer", c.name)
		}
		if o, err := NewOpener(c.spi, c.keys, true, MinWindow); err == nil || o != nil {
			t.Errorf("%s: an opener", c.name)
		}
	}
}

func ones(n int) []byte { return bytes.Repeat([]byte{1}, n) }

func TestKeysAreCleared(t *testing.T) {
	zero := func(k Keys) bool { return strings.Trim(string(k.Encryption)+string(k.Integrity), "\x00") == "" }
	for _, suite := range suites {
		for name, use := range map[string]func(Keys) error{
			"sealer":         func(k Keys) error { _, err := NewSealer(testSPI, k, false); return err },
			"opener":         func(k Keys) error { _, err := NewOpener(testSPI, k, false, MinWindow); return err },
			"refused sealer": func(k Keys) error { _, err := NewSealer(1, k, false); return err },
			"refused opener": func(k Keys) error { _, err := NewOpener(testSPI, k, false, 1); return err },
		} {
			k := keysOf(suite)
			if err := use(k); (err != nil) != strings.HasPrefix(name, "refused") {
				t.Errorf("%s %s: %v", suite, name, err)
			}
			if !zero(k) {
				t.Errorf("%s: a %s leaves keys behind", suite, name)
			}
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	k := Keys{suites[0], []byte("secret"), []byte("secret")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		for _, v := range []any{k, &k, struct{ Keys Keys }{k}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "secret") || strings.Contains(s, "115") || strings.Contains(s, "736563") {
				t.Errorf("%s of %T prints %s", format, v, s)
			}
		}
	}
	if b, err := json.Marshal(k); err != nil || string(b) != `"keys of aes128gcm"` {
		t.Errorf("JSON %s, %v", b, err)
	}
	if err := k.Check(testSPI); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name  string
		suite Suite
		esn   bool
		limit uint64
	}{
		{"RFC 4303 section 3.3.3: without ESN the last is 2^32-1", suites[0], false, 1<<32 - 1},
		{"AES-GCM ends before its blocks could meet", suites[0], true, 1 << 36},
		{"AES-CBC too", suites[4], true, 1 << 36},
		{"ChaCha20-Poly1305 has no such end", suites[3], true, 1 << 63},
	} {
		q := NewSequence(c.suite, c.esn)
		if first, ok := q.Reserve(64); !ok || first != 1 {
			t.Errorf("%s: begins at %d, %t", c.name, first, ok)
		}
		q.last.Store(c.limit - 10)
		if _, ok := q.Reserve(11); ok {
			t.Errorf("%s: 11 numbers of the last 10", c.name)
		}
		if first, ok := q.Reserve(10); !ok || first != c.limit-9 {
			t.Errorf("%s: the last 10 begin at %d, %t", c.name, first, ok)
		}
		if _, ok := q.Reserve(1); ok || q.last.Load() != c.limit {
			t.Errorf("%s: goes on behind the end", c.name)
		}
	}
	q := NewSequence(suites[0], true)
	for _, n := range []int{0, -1, -1 << 63} {
		if first, ok := q.Reserve(n); ok || first != 0 {
			t.Errorf("Reserve(%d) gives %d", n, first)
		}
	}
	if _, ok := NewSequence(Suite{}, true).Reserve(1); ok {
		t.Error("numbers for no algorithm")
	}
}

// A packet with an extended number does not open when the two ends differ in the high half, which is not sent.
func TestESNCoversTheHighHalf(t *testing.T) {
	for _, suite := range suites {
		s, o := pair(t, suite, true)
		o.window.top.Store(3<<32 + 5000)
		plain := withTrailer(s, payloadOf(20), 47)
		for _, c := range []struct {
			seq  uint64
			want error
		}{{4<<32 + 6000, ErrIntegrity}, {6000, ErrIntegrity}, {3<<32 + 6000, nil}, {4 << 32, nil}} {
			if _, _, err := o.Open(nil, s.Seal(nil, c.seq, plain)); !errors.Is(err, c.want) {
				t.Errorf("%s: %#x: %v, want %v", suite, c.seq, err, c.want)
			}
		}
	}
}

// Across 2^32 with extended numbers, in an order that a network may make of it. Without, there is no such packet.
func TestESNRollover(t *testing.T) {
	for _, suite := range suites {
		s, o := pair(t, suite, true)
		s.last.Store(1<<32 - 51)
		o.window.top.Store(1<<32 - 51)
		packets := make([][]byte, 100)
		for i := range packets {
			packets[i] = seal(t, s, payloadOf(i))
		}
		for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(100) {
			if got, _, err := o.Open(nil, packets[i]); err != nil || len(got) != i {
				t.Fatalf("%s: packet %d of 100 across 2^32: %d octets, %v", suite, i, len(got), err)
			}
		}
		for i, packet := range packets {
			if _, _, err := o.Open(nil, packet); !errors.Is(err, ErrReplay) {
				t.Fatalf("%s: packet %d again: %v", suite, i, err)
			}
		}
	}
}

// IVs of CBC are all different and none follows from another.
func TestCBCIVs(t *testing.T) {
	s, _ := pair(t, Suite{AESCBC, 128, HMACSHA256}, true)
	seen := map[string]bool{}
	for seq := range uint64(5000) {
		p := s.Seal(nil, seq+1, make([]byte, 16))
		iv := string(p[8:24])
		if seen[iv] || binary.BigEndian.Uint64([]byte(iv[8:])) == seq+1 {
			t.Fatalf("IV % x of %d", iv, seq+1)
		}
		seen[iv] = true
	}
	k := keysOf(s.suite)
	k.Encryption[0]++
	other, _ := NewSealer(testSPI, k, true)
	if p := other.Seal(nil, 1, make([]byte, 16)); seen[string(p[8:24])] {
		t.Error("another SA has the same IVs")
	}
}

func TestNoAllocation(t *testing.T) {
	each(t, func(t *testing.T, s *Sealer, o *Opener) {
		plain := withTrailer(s, payloadOf(1400), 47)
		wire, room := make([]byte, 0, 2048), make([]byte, 0, 2048)
		if n := testing.AllocsPerRun(200, func() {
			seq, _ := s.Reserve(1)
			packet := s.Seal(wire, seq, plain)
			if _, _, err := o.Open(room, packet); err != nil {
				t.Error(err)
			}
			if _, _, err := o.Open(room, packet); err == nil {
				t.Error("twice")
			}
			packet[len(packet)-1]++
			if _, _, err := o.Open(room, packet); err == nil {
				t.Error("changed")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// Several queues seal and open by one SA at once: every packet opens once, and says what it should.
func TestConcurrent(t *testing.T) {
	for _, suite := range []Suite{suites[2], suites[3], suites[5]} {
		s, o := pair(t, suite, true)
		const workers, packets = 6, 150 // of which none gets older than the window
		var all sync.WaitGroup
		var opened atomic.Uint32
		sealed := make(chan []byte, workers*packets)
		for range workers {
			all.Go(func() {
				for range packets {
					seq, _ := s.Reserve(1)
					payload := binary.BigEndian.AppendUint64(payloadOf(60), seq)
					sealed <- s.Seal(nil, seq, withTrailer(s, payload, 47))
				}
			})
		}
		for range workers {
			all.Go(func() {
				for range packets {
					packet := <-sealed
					var twice sync.WaitGroup
					for range 2 {
						twice.Go(func() {
							got, _, err := o.Open(make([]byte, 0, 256), packet)
							if err != nil {
								return
							}
							opened.Add(1)
							if seq := binary.BigEndian.Uint64(got[60:]); uint32(seq) != binary.BigEndian.Uint32(packet[4:]) {
								t.Errorf("%d opened as %d", binary.BigEndian.Uint32(packet[4:]), seq)
							}
						})
					}
					twice.Wait()
				}
			})
		}
		all.Wait()
		if n := opened.Load(); n != workers*packets {
			t.Errorf("%s: %d of %d packets opened", suite, n, workers*packets)
		}
	}
}

func TestSuiteNames(t *testing.T) {
	for want, s := range map[string]Suite{
		"aes256gcm": {AESGCM, 256, NoIntegrity}, "chacha20poly1305": {ChaCha20Poly1305, 256, NoIntegrity},
		"aes128-sha1": {AESCBC, 128, HMACSHA1}, "aes256-sha512": {AESCBC, 256, HMACSHA512},
	} {
		if got := s.String(); got != want || !s.Valid() {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if s := (Suite{99, 7, 98}); s.Valid() || s.String() != "encryption 99/7 integrity 98" {
		t.Errorf("%q", s)
	}
}

// Data comes as a packet, as a payload whose packet is changed, and as plaintext of a peer that has the keys.
func FuzzOpen(f *testing.F) {
	for i, suite := range suites {
		k := keysOf(suite)
		k.Encryption[0]++ // another SA's: what looks like a packet is none
		if len(k.Integrity) > 0 {
			k.Integrity[0]++
		}
		s, err := NewSealer(testSPI, k, i%2 == 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seal(f, s, payloadOf(20*i)), uint8(i), i%2 == 0, uint16(3), uint8(1))
	}
	f.Add([]byte{0xff}, uint8(0), true, uint16(0), uint8(0))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 13, 47}, uint8(6), false, uint16(9), uint8(255))
	f.Fuzz(func(t *testing.T, data []byte, which uint8, esn bool, at uint16, change uint8) {
		data = data[:min(len(data), 4096)]
		s, o := pair(t, suites[int(which)%len(suites)], esn)
		if _, _, err := o.Open(nil, data); err == nil {
			t.Fatalf("garbage opened: %x", data)
		}
		fuzzChanged(t, s, o, data, int(at), change)
		fuzzPlain(t, s, o, data)
	})
}

func fuzzChanged(t *testing.T, s *Sealer, o *Opener, payload []byte, at int, change uint8) {
	packet := seal(t, s, payload)
	bad := bytes.Clone(packet)
	bad[at%len(bad)] ^= change | 1
	if _, _, err := o.Open(nil, bad); err == nil {
		t.Fatalf("octet %d changed, and it opened", at%len(bad))
	}
	if got, next, err := o.Open(nil, packet); err != nil || next != 47 || !bytes.Equal(got, payload) {
		t.Fatalf("a forgery has spoilt the packet: %x, %d, %v", got, next, err)
	}
	if _, _, err := o.Open(nil, packet); !errors.Is(err, ErrReplay) {
		t.Fatalf("opened twice: %v", err)
	}
}

func fuzzPlain(t *testing.T, s *Sealer, o *Opener, plain []byte) {
	plain = plain[:len(plain)-len(plain)%s.suite.BlockSize()]
	if len(plain) == 0 {
		return
	}
	pad, next := int(plain[len(plain)-2]), plain[len(plain)-1]
	want, good := plain[:max(len(plain)-2-pad, 0)], pad <= len(plain)-2
	for i := range pad {
		good = good && int(plain[len(want)+i]) == i+1
	}
	seq, _ := s.Reserve(1)
	got, n, err := o.Open(nil, s.Seal(nil, seq, plain))
	if good != (err == nil) || good && (n != next || !bytes.Equal(got, want)) {
		t.Fatalf("plaintext %x opened as %x, %d, %v", plain, got, n, err)
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Sealer, _ *Opener, n int) {
		plain, wire := withTrailer(s, payloadOf(n), 47), make([]byte, 0, 2048)
		b.SetBytes(int64(n))
		for b.Loop() {
			seq, _ := s.Reserve(1)
			s.Seal(wire, seq, plain)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Sealer, o *Opener, n int) {
		plain, room := withTrailer(s, payloadOf(n), 47), make([]byte, 0, 2048)
		ring := make([][]byte, 512)
		b.SetBytes(int64(n * len(ring)))
		for b.Loop() {
			b.StopTimer()
			for i := range ring {
				seq, _ := s.Reserve(1)
				ring[i] = s.Seal(ring[i][:0], seq, plain)
			}
			b.StartTimer()
			for _, packet := range ring {
				if _, _, err := o.Open(room, packet); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(ring)), "ns/packet")
	})
}

func BenchmarkWindow(b *testing.B) {
	w := mustWindow(b, MinWindow)
	seq := uint64(0)
	for b.Loop() {
		if seq++; !w.Fresh(seq) || !w.Accept(seq) {
			b.Fatal(seq)
		}
	}
}

func benchmark(b *testing.B, f func(b *testing.B, s *Sealer, o *Opener, n int)) {
	for _, suite := range suites {
		for _, n := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", suite, n), func(b *testing.B) {
				s, o := pair(b, suite, true)
				b.ReportAllocs()
				f(b, s, o, n)
			})
		}
	}
}
