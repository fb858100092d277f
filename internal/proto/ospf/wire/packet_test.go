package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// public are the fields of a packet that a test compares.
func public(p *wire.Packet) *wire.Packet {
	return &wire.Packet{Version: p.Version, Router: p.Router, Area: p.Area, Instance: p.Instance, Body: p.Body, LLS: p.LLS}
}

// forgetAT drops the bit that Append sets with a digest.
func forgetAT(b wire.Body) wire.Body {
	switch x := b.(type) {
	case *wire.Hello:
		x.Options &^= wire.OptAT
	case *wire.DatabaseDescription:
		x.Options &^= wire.OptAT
	}
	return b
}

func TestWhatIsWrittenReadsTheSame(t *testing.T) {
	for _, v := range versions {
		src, dst := ends(v)
		for _, p := range packets(t, v) {
			for _, k := range keys(v) {
				p.Auth.Sequence = 0xfedcba98
				b := p.Append([]byte("before"), k, src, dst)[6:]
				if want := len(b); binary.BigEndian.Uint16(b[2:]) > uint16(want) || wire.Overhead(v, k) < v.HeaderLen() {
					t.Fatalf("%v %v: length %d of %d", v, p.Type(), binary.BigEndian.Uint16(b[2:]), want)
				}
				q, err := wire.Parse(v, b, src, dst)
				if err != nil {
					t.Fatalf("%v %v %v: %v", v, p.Type(), k, err)
				}
				if err := q.Verify(k); err != nil {
					t.Errorf("%v %v %v: %v", v, p.Type(), k, err)
				}
				forgetAT(q.Body)
				if !reflect.DeepEqual(public(q), public(p)) {
					t.Errorf("%v %v %v\n got %+v\nwant %+v", v, p.Type(), k, q.Body, p.Body)
				}
				if q.Auth.Type != wire.AuthNone && q.Auth.Type != wire.AuthSimple && (q.Auth.KeyID != k.ID || q.Auth.Sequence != 0xfedcba98) {
					t.Errorf("%v %v: %+v", v, k, q.Auth)
				}
			}
		}
	}
}

func TestOverheadIsWhatAPacketHasBesideItsBody(t *testing.T) {
	for _, v := range versions {
		src, dst := ends(v)
		for _, k := range keys(v) {
			p := &wire.Packet{Version: v, Body: &wire.Ack{Headers: make([]wire.LSAHeader, 2)}}
			if got := len(p.Append(nil, k, src, dst)) - 2*wire.LSAHeaderLen; got != wire.Overhead(v, k) {
				t.Errorf("%v %v: %d, want %d", v, k, got, wire.Overhead(v, k))
			}
		}
	}
}

// RFC 2328 D.4.1 and RFC 5340 A.3.1, computed word by word.
func TestChecksums(t *testing.T) {
	for _, v := range versions {
		src, dst := ends(v)
		for _, p := range packets(t, v) {
			b := p.Append(nil, wire.Key{}, src, dst)
			if naive(v, b, src, dst) != 0 {
				t.Errorf("%v %v: wrong checksum", v, p.Type())
			}
			for at := range b {
				if v == wire.V2 && at >= 16 && at < 24 {
					continue // not covered
				}
				bad := bytes.Clone(b)
				bad[at] ^= 0x10
				if _, err := wire.Parse(v, bad, src, dst); err == nil {
					t.Fatalf("%v %v: octet %d changed, and it is taken", v, p.Type(), at)
				}
			}
		}
	}
}

// A digest covers every octet, RFC 2328 D.4.3 and RFC 7166 section 4.5; extended ones and those of OSPFv3 the source too.
func TestDigestsCoverAll(t *testing.T) {
	for _, v := range versions {
		src, dst := ends(v)
		other, _ := ends(v)
		other = other.Next()
		for _, k := range keys(v)[1:] {
			if k.Algorithm == wire.Simple {
				continue
			}
			p := packets(t, v)[0]
			p.Auth.Sequence = 99
			b := p.Append(nil, k, src, dst)
			for at := range b {
				bad := bytes.Clone(b)
				bad[at] ^= 0x40
				if q, err := wire.Parse(v, bad, src, dst); err == nil && q.Verify(k) == nil {
					t.Errorf("%v %v: octet %d changed, and it is taken", v, k, at)
				}
			}
			q, err := wire.Parse(v, b, other, dst)
			if covered := v != wire.V2 || k.Extended; err != nil || (q.Verify(k) != nil) != covered {
				t.Errorf("%v %v: from another source: %v, covered %v", v, k, err, covered)
			}
		}
	}
}

// What an interface does with packets of other keys, RFC 2328 D.5 and RFC 7166 section 4.6.
func TestVerify(t *testing.T) {
	secret := func(id uint32, a wire.Algorithm, s string) wire.Key {
		return wire.Key{ID: id, Algorithm: a, Secret: []byte(s)}
	}
	none, simple, md5 := wire.Key{}, secret(0, wire.Simple, "plain"), secret(1, wire.MD5, "md")
	sha, extended := secret(2, wire.SHA256, "sha"), secret(2, wire.SHA256, "sha")
	extended.Extended = true
	for _, c := range []struct {
		name   string
		v      wire.Version
		sent   wire.Key
		keys   []wire.Key
		reason string
	}{
		{"none, none configured", wire.V2, none, nil, ""},
		{"none, one configured", wire.V2, none, []wire.Key{md5}, wire.ReasonAuthentication},
		{"one, none configured", wire.V2, md5, nil, wire.ReasonAuthentication},
		{"simple for none", wire.V2, simple, nil, wire.ReasonAuthentication},
		{"simple, the same", wire.V2, simple, []wire.Key{simple}, ""},
		{"simple, another", wire.V2, simple, []wire.Key{secret(0, wire.Simple, "plaim")}, wire.ReasonDigest},
		{"simple, a longer one", wire.V2, simple, []wire.Key{secret(0, wire.Simple, "plain1")}, wire.ReasonDigest},
		{"simple, only eight octets count", wire.V2, secret(0, wire.Simple, "12345678"), []wire.Key{secret(0, wire.Simple, "123456789")}, ""},
		{"md5 for simple", wire.V2, md5, []wire.Key{simple}, wire.ReasonAuthentication},
		{"md5, another number", wire.V2, md5, []wire.Key{secret(9, wire.MD5, "md")}, wire.ReasonKey},
		{"md5, another secret", wire.V2, md5, []wire.Key{secret(1, wire.MD5, "me")}, wire.ReasonDigest},
		{"md5, only sixteen octets count", wire.V2, secret(1, wire.MD5, "0123456789abcdef"), []wire.Key{secret(1, wire.MD5, "0123456789abcdefgh")}, ""},
		{"another algorithm under the number", wire.V2, md5, []wire.Key{secret(1, wire.SHA256, "md")}, wire.ReasonDigest},
		{"rollover: the second of two", wire.V2, sha, []wire.Key{md5, sha}, ""},
		{"rollover: two of one number", wire.V2, sha, []wire.Key{secret(2, wire.SHA256, "old"), sha}, ""},
		{"rollover: neither", wire.V2, secret(3, wire.SHA256, "sha"), []wire.Key{md5, sha}, wire.ReasonKey},
		{"RFC 7474 for RFC 5709", wire.V2, extended, []wire.Key{sha}, wire.ReasonAuthentication},
		{"RFC 5709 for RFC 7474", wire.V2, sha, []wire.Key{extended}, wire.ReasonAuthentication},
		{"RFC 7474 for itself", wire.V2, extended, []wire.Key{extended}, ""},
		{"v3: none, one configured", wire.V3, none, []wire.Key{sha}, wire.ReasonAuthentication},
		{"v3: one, none configured", wire.V3, sha, nil, wire.ReasonAuthentication},
		{"v3: the same", wire.V3, sha, []wire.Key{sha}, ""},
		{"v3: another number", wire.V3, sha, []wire.Key{secret(3, wire.SHA256, "sha")}, wire.ReasonKey},
		{"v3: another secret", wire.V3, sha, []wire.Key{secret(2, wire.SHA256, "she")}, wire.ReasonDigest},
		{"v3: another algorithm", wire.V3, sha, []wire.Key{secret(2, wire.SHA512, "sha")}, wire.ReasonDigest},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := ends(c.v)
			p := packets(t, c.v)[5] // an Update: no options tell of a trailer
			q, err := wire.Parse(c.v, p.Append(nil, c.sent, src, dst), src, dst)
			if err != nil {
				t.Fatal(err)
			}
			if got := reason(q.Verify(c.keys...)); got != c.reason {
				t.Errorf("got %q, want %q", got, c.reason)
			}
		})
	}
}

// reason is that of an error; "" for none.
func reason(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestSecretsAreNotPrinted(t *testing.T) {
	k := wire.Key{ID: 1, Algorithm: wire.SHA256, Secret: []byte("hush-hush")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, k); strings.Contains(text, "hush") || strings.Contains(text, "104") {
			t.Errorf("%s: %s", format, text)
		}
	}
}

// The trailers and blocks behind a packet, RFC 5613 and RFC 7166.
func TestWhatFollowsAPacket(t *testing.T) {
	lls := []byte{0xff, 0xf6, 0, 3, 0, 1, 0, 4, 0, 0, 0, 1}
	for _, v := range versions {
		src, dst := ends(v)
		for _, k := range keys(v) {
			p := packets(t, v)[0]
			p.Body.(*wire.Hello).Options |= wire.OptL
			p.LLS = lls
			b := p.Append(nil, k, src, dst)
			q, err := wire.Parse(v, b, src, dst)
			if err != nil || q.Verify(k) != nil || !bytes.Equal(q.LLS, lls) {
				t.Errorf("%v %v: %v, %+v", v, k, err, q)
			}
			for n := len(b) - 1; n >= int(binary.BigEndian.Uint16(b[2:])); n-- {
				if q, err := wire.Parse(v, b[:n], src, dst); err == nil && q.Verify(k) == nil {
					t.Fatalf("%v %v: taken when cut to %d of %d", v, k, n, len(b))
				}
			}
		}
		p := packets(t, v)[0] // what nobody said would follow does not matter
		if q, err := wire.Parse(v, append(p.Append(nil, wire.Key{}, src, dst), 0, 0, 0, 0, 0), src, dst); err != nil || q.Verify() != nil {
			t.Errorf("%v: padding: %v", v, err)
		}
	}
}

// Cut anywhere, or told a length that is not its own, a packet is an error and never a panic.
func TestCutPackets(t *testing.T) {
	for _, v := range versions {
		src, dst := ends(v)
		for _, p := range packets(t, v) {
			for _, k := range keys(v) {
				b := p.Append(nil, k, src, dst)
				for n := range len(b) {
					if q, err := wire.Parse(v, b[:n:n], src, dst); err == nil && q.Verify(k) == nil {
						t.Fatalf("%v %v %v: taken when cut to %d of %d", v, p.Type(), k, n, len(b))
					}
				}
			}
			b := p.Append(nil, wire.Key{}, src, dst)
			for n := range len(b) {
				c := bytes.Clone(b[:n])
				if n < v.HeaderLen() {
					continue
				}
				seal(v, c, src, dst)
				if q, err := wire.Parse(v, c, src, dst); err == nil {
					use(t, q)
				}
			}
		}
	}
}

// seal makes length and checksum right.
func seal(v wire.Version, b []byte, src, dst netip.Addr) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[12], b[13] = 0, 0
	sum := naive(v, b, src, dst)
	b[12], b[13] = byte(sum>>8), byte(sum)
}

// use calls what a router calls on a packet that it was sent.
func use(t *testing.T, p *wire.Packet) {
	t.Helper()
	_ = p.Verify()
	if u, ok := p.Body.(*wire.Update); ok {
		for _, l := range u.LSAs {
			_ = l.Check(p.Version)
			checkBody(t, p.Version, l)
		}
	}
}

func TestHostilePackets(t *testing.T) {
	src, dst := ends(wire.V2)
	good := packets(t, wire.V2)[0].Append(nil, wire.Key{}, src, dst)
	edit := func(at int, octets ...byte) func() []byte {
		return func() []byte {
			b := bytes.Clone(good)
			copy(b[at:], octets)
			return b
		}
	}
	update := func(count uint32, rest ...byte) func() []byte {
		return func() []byte {
			b := (&wire.Packet{Version: wire.V2, Body: &wire.Update{}}).Append(nil, wire.Key{}, src, dst)
			binary.BigEndian.PutUint32(b[24:], count)
			b = append(b, rest...)
			seal(wire.V2, b, src, dst)
			return b
		}
	}
	header := func(length uint16) []byte {
		return binary.BigEndian.AppendUint16(make([]byte, 18), length)
	}
	resealed := func(f func() []byte) func() []byte {
		return func() []byte { b := f(); seal(wire.V2, b, src, dst); return b }
	}
	for _, c := range []struct {
		name, reason string
		octets       func() []byte
	}{
		{"nothing", wire.ReasonLength, func() []byte { return nil }},
		{"RFC 2328 8.2: version 3", wire.ReasonVersion, edit(0, 3)},
		{"length below the header", wire.ReasonLength, edit(2, 0, 23)},
		{"length above what came", wire.ReasonLength, edit(2, 0xff, 0xff)},
		{"type 0", wire.ReasonType, resealed(edit(1, 0))},
		{"type 6", wire.ReasonType, resealed(edit(1, 6))},
		{"a checksum of another", wire.ReasonChecksum, edit(12, 1, 2)},
		{"authentication type 9", wire.ReasonAuthentication, edit(14, 0, 9)},
		{"a digest that is not there", wire.ReasonLength, edit(14, 0, 2, 0, 0, 1, 16)},
		{"an extended digest without its sequence", wire.ReasonLength, edit(14, 0, 3, 0, 0, 0, 7)},
		{"LLS that is not there", wire.ReasonLength, resealed(edit(24+6, 0x12))},
		{"RFC 2328 A.3.5: four billion LSAs", wire.ReasonLength, update(0xffffffff)},
		{"more LSAs than there are", wire.ReasonLength, update(2, header(20)...)},
		{"fewer LSAs than there are", wire.ReasonLength, update(0, header(20)...)},
		{"an LSA of length 0", wire.ReasonLength, update(1, header(0)...)},
		{"an LSA of length 19", wire.ReasonLength, update(1, header(19)...)},
		{"an LSA longer than its packet", wire.ReasonLength, update(1, header(24)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := wire.Parse(wire.V2, c.octets(), src, dst)
			if got := reason(err); got != c.reason || p != nil {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
}

// Packets of another implementation read, are proven, and are written the same; its LSAs too.
func TestPacketsOfOthers(t *testing.T) {
	for _, c := range others(t) {
		t.Run(fmt.Sprint(c.version, "-", c.name), func(t *testing.T) {
			if strings.Contains(c.name, "lsa") && !strings.HasPrefix(c.name, "lsack") {
				checkLSA(t, c.version, c.octets)
				return
			}
			src, dst := netip.IPv6Unspecified(), netip.IPv6Unspecified()
			if c.version == wire.V2 {
				src, dst = netip.IPv4Unspecified(), netip.IPv4Unspecified()
			}
			b := c.octets
			if c.version != wire.V2 && c.key.Algorithm == wire.None {
				sum := naive(c.version, b[:binary.BigEndian.Uint16(b[2:])], src, dst)
				b[12], b[13] = byte(sum>>8), byte(sum)
			}
			p, err := wire.Parse(c.version, b, src, dst)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(c.key); err != nil {
				t.Error(err)
			}
			if again := p.Append(nil, c.key, src, dst); !bytes.Equal(again, b) {
				t.Errorf("written again\n got % x\nwant % x", again, b)
			}
			if strings.Contains(c.name, "lls") != (p.LLS != nil) {
				t.Errorf("LLS % x", p.LLS)
			}
		})
	}
}

// other is a line of testdata/holo.txt.
type other struct {
	version wire.Version
	name    string
	key     wire.Key
	octets  []byte
}

func others(t testing.TB) (all []other) {
	t.Helper()
	text, err := os.ReadFile("testdata/holo.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		o := other{version: wire.Version(f[0][0] - '0'), name: f[1]}
		if o.octets, err = hex.DecodeString(f[3]); err != nil {
			t.Fatal(err)
		}
		for a := wire.MD5; a <= wire.SHA512; a++ {
			if a.String() == f[2] {
				o.key = wire.Key{ID: 1, Algorithm: a, Secret: []byte("HOLO")}
			}
		}
		all = append(all, o)
	}
	if len(all) < 40 {
		t.Fatalf("only %d", len(all))
	}
	return all
}

// FRR and BIRD, as captured: read, proven by their keys, and written the same, LSAs too.
func TestCapturedPackets(t *testing.T) {
	text, err := os.ReadFile("testdata/frr-bird.txt")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		octets, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatal(err)
		}
		v, src, dst := wire.Version(f[0][0]-'0'), netip.MustParseAddr(f[1]), netip.MustParseAddr(f[2])
		long := strings.Repeat("0123456789", 4)
		k := wire.Key{ID: 7, Algorithm: wire.SHA256, Secret: []byte(long)}
		if v == wire.V3 {
			k.ID = 9
		}
		if f[0] == "3" {
			k.Secret = []byte("a-short-secret")
		}
		p, err := wire.Parse(v, octets, src, dst)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds[f[0]+" "+p.Type().String()+" of "+p.Router.String()]++
		if err := p.Verify(k); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		again := p.Append(nil, k, src, dst)
		if bird := p.Router == 0x0aff0003; !bytes.Equal(again, octets) && (f[0] != "3long" || !bird) {
			t.Errorf("%v of %v\n got % x\nwant % x", p.Type(), p.Router, again, octets)
		}
		if u, ok := p.Body.(*wire.Update); ok {
			for _, l := range u.LSAs {
				checkLSA(t, v, l.Raw)
			}
		}
	}
	if len(kinds) < 21 { // five kinds, of two routers, of two versions, but one
		t.Errorf("only %v", kinds)
	}
}
