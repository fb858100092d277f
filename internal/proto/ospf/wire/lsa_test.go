package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

func TestBuiltLSAsReadTheSame(t *testing.T) {
	for _, v := range versions {
		for _, b := range bodies(v) {
			l := build(t, v, b)
			again, rest, err := wire.ParseLSA(v, append(bytes.Clone(l.Raw), "rest"...))
			if err != nil || !reflect.DeepEqual(again, l) || string(rest) != "rest" {
				t.Fatalf("%v %v: %v\n got %+v\nwant %+v", v, b.key, err, again, l)
			}
			if err := l.Check(v); err != nil {
				t.Errorf("%v: %v", v, err)
			}
			if got, err := l.Body(v); err != nil || !reflect.DeepEqual(got, b.body) {
				t.Errorf("%v %v: %v\n got %+v\nwant %+v", v, b.key, err, got, b.body)
			}
		}
	}
}

func TestChecksumOfLSAs(t *testing.T) {
	k := wire.LSAKey{Type: 1, ID: 0x01010101, Router: 0x01010101}
	for n := range 2000 {
		l, err := wire.Build(wire.V2, k, uint16(n), wire.InitialSequence+int32(n), &wire.RouterLSA{Links: make([]wire.Link, n%7)})
		if err != nil || l.Check(wire.V2) != nil {
			t.Fatalf("%d: %v, % x", n, err, l.Raw)
		}
		l.Raw[0] ^= 0x0f // the age may change, RFC 2328 12.1.7
		if !l.ChecksumOK() {
			t.Fatal("the age is covered")
		}
		at := 2 + n%(len(l.Raw)-2)
		l.Raw[at] ^= 0x41
		if l.ChecksumOK() {
			t.Fatalf("%d: octet %d changed, and the checksum is still right", n, at)
		}
	}
}

// RFC 2328 12.1.7: a checksum of 0 is wrong, whatever the octets.
func TestNoChecksum(t *testing.T) {
	l := wire.LSA{LSAHeader: wire.LSAHeader{Length: 20}, Raw: make([]byte, 20)}
	if l.ChecksumOK() {
		t.Error("taken")
	}
}

func TestLSAsCanBeTooLarge(t *testing.T) {
	for _, c := range []struct {
		v     wire.Version
		links int
		ok    bool
	}{{wire.V2, 5448, true}, {wire.V2, 5449, false}, {wire.V3, 4086, true}, {wire.V3, 4087, false}} {
		l, err := wire.Build(c.v, wire.LSAKey{Type: wire.FunctionRouter.Type(c.v)}, 0, 1, &wire.RouterLSA{Links: make([]wire.Link, c.links)})
		if (err == nil) != c.ok || c.ok && l.Check(c.v) != nil {
			t.Errorf("%v with %d links: %v", c.v, c.links, err)
		}
	}
}

// RFC 2328 13.1.
func TestWhichIsNewer(t *testing.T) {
	h := func(sequence int32, checksum, age uint16) wire.LSAHeader {
		return wire.LSAHeader{Sequence: sequence, Checksum: checksum, Age: age}
	}
	for _, c := range []struct {
		name string
		a, b wire.LSAHeader
		want int
	}{
		{"the same", h(1, 1, 1), h(1, 1, 1), 0},
		{"sequence", h(2, 1, 1), h(1, 9, 1), 1},
		{"sequence numbers are signed, 12.1.6", h(wire.InitialSequence, 1, 1), h(1, 1, 1), -1},
		{"the greatest and the first", h(wire.MaxSequence, 1, 1), h(wire.InitialSequence, 1, 1), 1},
		{"checksum", h(1, 0x8000, 1), h(1, 0x7fff, 1), 1},
		{"MaxAge", h(1, 1, wire.MaxAge), h(1, 1, 3599), 1},
		{"both MaxAge", h(1, 1, wire.MaxAge), h(1, 1, wire.MaxAge), 0},
		{"above MaxAge is MaxAge", h(1, 1, 0x8001), h(1, 1, wire.MaxAge), 0},
		{"ages within MaxAgeDiff", h(1, 1, 900), h(1, 1, 0), 0},
		{"ages beyond MaxAgeDiff", h(1, 1, 901), h(1, 1, 0), -1},
	} {
		if got := wire.Compare(c.a, c.b); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := wire.Compare(c.b, c.a); got != -c.want {
			t.Errorf("%s, turned: %d, want %d", c.name, got, -c.want)
		}
	}
}

func TestTypesOfLSAs(t *testing.T) {
	for _, c := range []struct {
		v        wire.Version
		t        wire.LSAType
		function wire.Function
		scope    wire.Scope
	}{
		{wire.V2, 0, wire.FunctionUnknown, wire.ScopeReserved}, {wire.V2, 1, wire.FunctionRouter, wire.ScopeArea},
		{wire.V2, 2, wire.FunctionNetwork, wire.ScopeArea}, {wire.V2, 3, wire.FunctionSummary, wire.ScopeArea},
		{wire.V2, 4, wire.FunctionSummaryRouter, wire.ScopeArea}, {wire.V2, 5, wire.FunctionExternal, wire.ScopeAS},
		{wire.V2, 6, wire.FunctionUnknown, wire.ScopeReserved}, {wire.V2, 7, wire.FunctionNSSA, wire.ScopeArea},
		{wire.V2, 8, wire.FunctionUnknown, wire.ScopeReserved}, {wire.V2, 9, wire.FunctionOpaque, wire.ScopeLink},
		{wire.V2, 10, wire.FunctionOpaque, wire.ScopeArea}, {wire.V2, 11, wire.FunctionOpaque, wire.ScopeAS},
		{wire.V2, 12, wire.FunctionUnknown, wire.ScopeReserved},
		{wire.V3, 0x2001, wire.FunctionRouter, wire.ScopeArea}, {wire.V3, 0x4005, wire.FunctionExternal, wire.ScopeAS},
		{wire.V3, 0x2007, wire.FunctionNSSA, wire.ScopeArea}, {wire.V3, 0x0008, wire.FunctionLink, wire.ScopeLink},
		{wire.V3, 0x2009, wire.FunctionIntraAreaPrefix, wire.ScopeArea}, {wire.V3, 0x000b, wire.FunctionGrace, wire.ScopeLink},
		{wire.V3, 0x4001, wire.FunctionUnknown, wire.ScopeLink}, // RFC 5340 A.4.2.1: U bit 0, as if link-local
		{wire.V3, 0xc001, wire.FunctionUnknown, wire.ScopeAS},   // U bit 1
		{wire.V3, 0xa021, wire.FunctionUnknown, wire.ScopeArea},
		{wire.V3, 0x6001, wire.FunctionUnknown, wire.ScopeReserved}, {wire.V3, 0xe001, wire.FunctionUnknown, wire.ScopeReserved},
		{wire.V3IPv4, 0x2003, wire.FunctionSummary, wire.ScopeArea},
	} {
		if f, s := c.t.Function(c.v), c.t.Scope(c.v); f != c.function || s != c.scope {
			t.Errorf("%v 0x%x: %v %v, want %v %v", c.v, uint16(c.t), f, s, c.function, c.scope)
		}
	}
	if f := (wire.LSAKey{Type: 9, ID: 3 << 24}).Function(wire.V2); f != wire.FunctionGrace {
		t.Errorf("a grace-LSA is %v", f)
	}
	if f := (wire.LSAKey{Type: 10, ID: 3 << 24}).Function(wire.V2); f != wire.FunctionOpaque {
		t.Errorf("opaque type 3 of an area is %v", f)
	}
}

// LSAs with a right checksum and a body that cannot be.
func TestHostileLSAs(t *testing.T) {
	w := func(words ...uint32) (b []byte) {
		for _, x := range words {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		return b
	}
	for _, c := range []struct {
		name string
		v    wire.Version
		t    wire.LSAType
		body []byte
		ok   bool
	}{
		{"router: no body", wire.V2, 1, nil, false},
		{"router: no links", wire.V2, 1, w(0), true},
		{"router: a link that is not there", wire.V2, 1, w(1), false},
		{"router: a link that nobody counted", wire.V2, 1, w(0, 1, 2, 0x03000001), false},
		{"router: metrics by type of service are skipped", wire.V2, 1, w(1, 1, 2, 0x03010001, 0x02000009), true},
		{"router: 255 metrics that are not there", wire.V2, 1, w(1, 1, 2, 0x03ff0001, 0x02000009), false},
		{"router: 65535 links", wire.V2, 1, w(0xffff), false},
		{"network: no mask", wire.V2, 2, nil, false},
		{"network: a mask with holes", wire.V2, 2, w(0xff00ff00, 1), false},
		{"network: half a router", wire.V2, 2, append(w(0xffffff00), 1, 2), false},
		{"summary: a mask with holes", wire.V2, 3, w(0xfeff0000, 1), false},
		{"summary: no metric", wire.V2, 3, w(0xff000000), false},
		{"summary: more metrics", wire.V2, 3, w(0xff000000, 1, 0x02000002), true},
		{"external: a mask with holes", wire.V2, 5, w(1, 0, 0, 0), false},
		{"external: half of it", wire.V2, 5, w(0xff000000, 0), false},
		{"external: more metrics", wire.V2, 5, w(0xff000000, 0, 0, 0, 1, 2, 3), true},
		{"external: half of more", wire.V2, 5, w(0xff000000, 0, 0, 0, 1, 2), false},
		{"v3 router: half a link", wire.V3, 0x2001, w(0, 1, 2), false},
		{"v3 summary: 129 bits", wire.V3, 0x2003, w(1, 129<<24, 1, 2, 3, 4, 5), false},
		{"v3 summary: 255 bits", wire.V3, 0x2003, append(w(1, 255<<24), make([]byte, 32)...), false},
		{"v3 summary: words that are not there", wire.V3, 0x2003, w(1, 64<<24, 1), false},
		{"v3 summary: words too many", wire.V3, 0x2003, w(1, 32<<24, 1, 2), false},
		{"RFC 5838: 33 bits of IPv4", wire.V3IPv4, 0x2003, w(1, 33<<24, 1, 2), false},
		{"v3 router of another area: a word too many", wire.V3, 0x2004, w(0, 1, 2, 3), false},
		{"v3 external: a forwarding address that is not there", wire.V3, 0x4005, w(0x02000001, 0, 1), false},
		{"v3 external: a tag that is not there", wire.V3, 0x4005, w(0x01000001, 0), false},
		{"v3 external: a reference that is not there", wire.V3, 0x4005, w(1, 0x2001), false},
		{"v3 external: the default", wire.V3, 0x4005, w(1, 0), true},
		{"v3 link: four billion prefixes", wire.V3, 0x0008, w(0, 1, 2, 3, 4, 0xffffffff, 0), false},
		{"v3 link: a prefix that nobody counted", wire.V3, 0x0008, w(0, 1, 2, 3, 4, 0, 0), false},
		{"v3 intra-area-prefix: too many", wire.V3, 0x2009, w(0xffff2001, 0, 1, 0), false},
		{"v3 intra-area-prefix: none", wire.V3, 0x2009, w(0x00002001, 0, 1), true},
		{"grace: no period", wire.V3, 0x000b, w(0x00020001, 0x01000000), false},
		{"grace: a TLV longer than the LSA", wire.V3, 0x000b, w(0x00010004, 9, 0x0063ffff), false},
		{"grace: a period of 3 octets", wire.V3, 0x000b, w(0x00010003, 9), false},
		{"grace: an unknown TLV", wire.V3, 0x000b, w(0x00010004, 9, 0x00630001, 0), true},
		{"unknown", wire.V3, 0xa0ff, []byte{1, 2, 3}, true},
	} {
		l, err := wire.Build(c.v, wire.LSAKey{Type: c.t}, 0, 1, &wire.Opaque{Data: c.body})
		if err != nil {
			t.Fatal(err)
		}
		err = l.Check(c.v)
		if (err == nil) != c.ok || !c.ok && reason(err) != wire.ReasonLSAContent {
			t.Errorf("%s: %v", c.name, err)
		}
		l.Raw[19]++
		if reason(l.Check(c.v)) != wire.ReasonLSAChecksum {
			t.Errorf("%s: taken with a wrong checksum", c.name)
		}
	}
}

// Bodies cut at every octet, with a right length and checksum.
func TestCutLSAs(t *testing.T) {
	for _, v := range versions {
		for _, b := range bodies(v) {
			whole := build(t, v, b).Raw[wire.LSAHeaderLen:]
			for n := range whole {
				l, err := wire.Build(v, b.key, 0, 1, &wire.Opaque{Data: whole[:n:n]})
				if err != nil {
					t.Fatal(err)
				}
				checkBody(t, v, l)
			}
		}
	}
}

// checkBody holds a body that reads to be one that can be written, and reads again as the same.
func checkBody(t *testing.T, v wire.Version, l wire.LSA) {
	t.Helper()
	body, err := l.Body(v)
	if (body == nil) == (err == nil) {
		t.Fatalf("%v and %v", body, err)
	}
	if err != nil {
		_ = err.Error()
		return
	}
	again, err := wire.Build(v, l.LSAKey, l.Age, l.Sequence, body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Body(v); err != nil || !reflect.DeepEqual(got, body) {
		t.Fatalf("%v % x: %v\n got %+v\nwant %+v", v, l.Raw, err, got, body)
	}
}

// checkLSA holds an LSA of another implementation to be right, and to be written the same.
func checkLSA(t *testing.T, v wire.Version, raw []byte) {
	t.Helper()
	l, rest, err := wire.ParseLSA(v, raw)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, and % x", err, rest)
	}
	if err := l.Check(v); err != nil {
		t.Fatal(err)
	}
	body, err := l.Body(v)
	if err != nil {
		t.Fatal(err)
	}
	again, err := wire.Build(v, l.LSAKey, l.Age, l.Sequence, body)
	if err != nil || !bytes.Equal(again.Raw, raw) {
		t.Errorf("%v: %v\n got % x\nwant % x\n%+v", l.LSAKey, err, again.Raw, raw, body)
	}
}

var rawLSA = regexp.MustCompile(`"raw":\[([0-9,]+)\]`)

// The LSAs of recorded routers, thousands of them, are right and are written the same.
func TestRecordedLSAs(t *testing.T) {
	folder := os.Getenv("SPOKEWAY_ORACLES")
	if folder == "" {
		folder = "../../../../../shared/oracles"
	}
	for name, v := range map[string]wire.Version{"ospfv2": wire.V2, "ospfv3": wire.V3} {
		found := map[string]bool{}
		_ = filepath.WalkDir(filepath.Join(folder, "holo", name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".jsonl") {
				text, _ := os.ReadFile(path)
				for _, m := range rawLSA.FindAllSubmatch(text, -1) {
					found[string(m[1])] = true
				}
			}
			return nil
		})
		if len(found) == 0 {
			t.Skip("no recorded cases: set SPOKEWAY_ORACLES to their folder")
		}
		damaged := 0
		for text := range found {
			var raw []byte
			for n := range strings.SplitSeq(text, ",") {
				x, _ := strconv.Atoi(n)
				raw = append(raw, byte(x))
			}
			if l, _, err := wire.ParseLSA(v, raw); err == nil && !l.ChecksumOK() {
				damaged++ // some cases are about that
				continue
			}
			checkLSA(t, v, raw)
		}
		t.Logf("%s: %d LSAs, %d damaged", name, len(found), damaged)
		if damaged > len(found)/4 {
			t.Errorf("%s: %d of %d have a wrong checksum", name, damaged, len(found))
		}
	}
}

func TestMasks(t *testing.T) {
	for bits := range 33 {
		if got, ok := wire.MaskBits(wire.Mask(bits)); got != bits || !ok {
			t.Errorf("%d: %d %v", bits, got, ok)
		}
	}
	for _, mask := range []uint32{1, 0xff00ff00, 0x7fffffff, 0xfffffffd} {
		if _, ok := wire.MaskBits(mask); ok {
			t.Errorf("%08x is taken", mask)
		}
	}
	if wire.Uint4(netip.MustParseAddr("::1")) != 0 || wire.Addr4(0x0a000001) != netip.MustParseAddr("10.0.0.1") {
		t.Error("addresses")
	}
}

// The octet of OSPFv2 and the numbering of both versions, RFC 2328 A.2 and RFC 5340 A.2.
func TestOptions(t *testing.T) {
	for b := range 256 {
		h, _, err := wire.ParseLSA(wire.V2, []byte{0, 0, byte(b), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20})
		if err != nil {
			t.Fatal(err)
		}
		l, err := wire.Build(wire.V2, wire.LSAKey{Type: 1}, 0, 1, &wire.Opaque{Options: h.Options})
		if err != nil || l.Raw[2] != byte(b) {
			t.Errorf("0x%02x is written 0x%02x", b, l.Raw[2])
		}
		if b == 0x10 && h.Options != wire.OptL || b == 0x40 && h.Options != wire.OptO || b == 0x08 && h.Options != wire.OptNP {
			t.Errorf("0x%02x is %v", b, h.Options)
		}
	}
	if got := fmt.Sprint(wire.OptE | wire.OptV6 | wire.OptL); got != "V6 E L" {
		t.Error(got)
	}
}
