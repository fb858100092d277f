package wire_test

import (
	"bytes"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// FuzzParse parses packets as they are, and with length and checksum made right, without which hardly a mutation would
// get past them.
func FuzzParse(f *testing.F) {
	for i, v := range versions {
		src, dst := ends(v)
		for _, p := range packets(f, v) {
			for _, k := range keys(v) {
				f.Add(uint8(i), p.Append(nil, k, src, dst))
			}
		}
	}
	for _, o := range others(f) {
		f.Add(uint8(o.version-wire.V2), o.octets)
	}
	f.Fuzz(func(t *testing.T, version uint8, b []byte) {
		v := versions[int(version)%len(versions)]
		src, dst := ends(v)
		before := bytes.Clone(b)
		if p, err := wire.Parse(v, b, src, dst); err == nil {
			use(t, p)
			_ = p.Verify(keys(v)...)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the packet was written to")
		}
		if len(b) < v.HeaderLen() || len(b) > 0xffff {
			return
		}
		b = bytes.Clone(b)
		b[0] = v.Number()
		seal(v, b, src, dst)
		if p, err := wire.Parse(v, b, src, dst); err == nil {
			use(t, p)
			checkPacket(t, p)
		}
	})
}

// checkPacket holds what parses to be written, and to read again and be written the same.
func checkPacket(t *testing.T, p *wire.Packet) {
	t.Helper()
	src, dst := ends(p.Version)
	b := p.Append(nil, wire.Key{}, src, dst)
	q, err := wire.Parse(p.Version, b, src, dst)
	if err != nil {
		t.Fatalf("%v: % x", err, b)
	}
	if again := q.Append(nil, wire.Key{}, src, dst); !bytes.Equal(again, b) {
		t.Fatalf("written again\n got % x\nwant % x", again, b)
	}
}

// FuzzLSA reads bodies of every type in LSAs whose length and checksum are right.
func FuzzLSA(f *testing.F) {
	for i, v := range versions {
		for _, b := range bodies(v) {
			f.Add(uint8(i), uint16(b.key.Type), b.key.ID, build(f, v, b).Raw[wire.LSAHeaderLen:])
		}
	}
	f.Fuzz(func(t *testing.T, version uint8, kind uint16, id uint32, body []byte) {
		v := versions[int(version)%len(versions)]
		if v == wire.V2 {
			kind &= 0xff
		}
		l, err := wire.Build(v, wire.LSAKey{Type: wire.LSAType(kind), ID: id}, 0, 1, &wire.Opaque{Data: body})
		if err != nil {
			return
		}
		if !l.ChecksumOK() {
			t.Fatal("wrong checksum")
		}
		checkBody(t, v, l)
	})
}
