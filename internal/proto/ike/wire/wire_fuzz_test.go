package wire_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// seeds are chains of payloads: of the captures, and of every sample.
func seeds(t testing.TB) (all []seen) {
	t.Helper()
	for _, name := range []string{"frr-phase3-ikev2", "host-peers"} {
		all = append(all, readIKEv2(t, name)...)
	}
	for _, s := range samples() {
		all = append(all, seen{header: s.header, payloads: s.payloads, first: s.payloads.First(),
			inner: wire.AppendPayloads(nil, s.payloads)})
	}
	return all
}

// FuzzParse parses messages as they are, and with the version and the length made right, without which hardly a mutation
// would get past them.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(wire.AppendMessage(nil, s.header, s.payloads))
		f.Add(s.octets)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkMessage(t, b)
		if len(b) >= wire.HeaderLen {
			b = bytes.Clone(b)
			b[17] = 0x20
			binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
			checkMessage(t, b)
		}
	})
}

// FuzzPayload parses one payload of each type, whose generic header is right.
func FuzzPayload(f *testing.F) {
	for _, s := range seeds(f) {
		for _, p := range s.payloads {
			f.Add(uint8(p.Type()), wire.AppendPayloads(nil, wire.Payloads{p})[4:])
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) <= 0xffff-4 {
			checkChain(t, wire.PayloadType(kind), one(wire.PayloadType(kind), body...))
		}
	})
}

func checkMessage(t *testing.T, b []byte) {
	t.Helper()
	h, err := wire.ParseHeader(b)
	if err != nil {
		return
	}
	if again, err := wire.ParseHeader(h.Append(nil)); h.Length == wire.HeaderLen && (err != nil || again != h) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, again, h)
	}
	_ = h.String()
	checkChain(t, h.Next, b[wire.HeaderLen:])
}

// checkChain holds what parses to be written and read again as the same, and every method on it to be safe.
func checkChain(t *testing.T, first wire.PayloadType, b []byte) {
	t.Helper()
	before := bytes.Clone(b)
	p, err := wire.ParsePayloads(first, b)
	if err != nil {
		_ = err.Error()
		if p != nil {
			t.Fatalf("%v, but also %v", err, p)
		}
		return
	}
	useAll(p)
	if !bytes.Equal(b, before) {
		t.Fatal("the message was written to")
	}
	p = writable(p)
	written := wire.AppendPayloads(nil, p)
	again, err := wire.ParsePayloads(p.First(), written)
	if err != nil || !reflect.DeepEqual(withoutOffsets(again), withoutOffsets(p)) {
		t.Fatalf("%v\n got %v\nwant %v\n% x", err, again, p, b)
	}
	if twice := wire.AppendPayloads(nil, again); !bytes.Equal(twice, written) {
		t.Fatalf("written again\n got % x\nwant % x", twice, written)
	}
}

// useAll calls what a machine may call on payloads that it was sent.
func useAll(p wire.Payloads) {
	_ = p.String()
	p.ID(true)
	p.TS(false)
	p.Error()
	for _, n := range p.Notifies() {
		n.Group()
		n.Cookie()
		n.NATHash()
		n.Lifetime()
		n.Address()
		n.Critical()
		n.Hashes()
		n.PPK()
		_ = n.Kind.Words()
		wire.ChildSPI(n.SPI)
	}
	for _, r := range wire.All[*wire.CertReq](p) {
		r.Authorities()
	}
}

// writable leaves out what is read but never written: transforms with unknown attributes, and what is empty without
// them or without its selectors of unknown types.
func writable(p wire.Payloads) (kept wire.Payloads) {
	for _, payload := range p {
		switch x := payload.(type) {
		case *wire.SA:
			if x = writableSA(x); len(x.Proposals) > 0 {
				kept = append(kept, x)
			}
		case *wire.TS:
			if len(x.Selectors) > 0 {
				kept = append(kept, x)
			}
		default:
			kept = append(kept, payload)
		}
	}
	return kept
}

func writableSA(sa *wire.SA) *wire.SA {
	kept := &wire.SA{}
	for _, p := range sa.Proposals {
		p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Unknown })
		if len(p.Transforms) > 0 {
			kept.Proposals = append(kept.Proposals, p)
		}
	}
	return kept
}

// withoutOffsets makes messages alike that differ in what comes before an encrypted payload.
func withoutOffsets(p wire.Payloads) wire.Payloads {
	p = slices.Clone(p)
	for i, payload := range p {
		switch x := payload.(type) {
		case *wire.Encrypted:
			p[i] = &wire.Encrypted{Inner: x.Inner, Body: x.Body}
		case *wire.Fragment:
			p[i] = &wire.Fragment{Inner: x.Inner, Number: x.Number, Total: x.Total, Body: x.Body}
		}
	}
	return p
}

// FuzzReassembly plays fragments: of each a number, a total, the size of its data and a seed for it, an octet each.
// A message comes out only when a plain model of RFC 7383 section 2.6 has all its fragments, and is what the model has.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{1, 2, 3, 1, 2, 2, 3, 2})
	f.Add([]byte{2, 2, 3, 1, 1, 2, 3, 2, 1, 1, 9, 9})
	f.Add([]byte{1, 2, 3, 1, 1, 3, 3, 2, 2, 2, 9, 9, 3, 3, 1, 1, 2, 3, 0, 0})
	f.Add([]byte{1, 255, 3, 1, 0, 0, 3, 2, 129, 128, 1, 1})
	f.Add(bytes.Repeat([]byte{1, 1, 255, 7}, 10))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r wire.Reassembly
		var m model
		for b = b[:min(len(b), 4*150)]; len(b) >= 4; b = b[4:] {
			number, total := uint16(b[0]), uint16(b[1])
			plain := bytes.Repeat(b[3:4], int(b[2])*32)
			inner := wire.PayloadType(b[3])
			want := m.add(number, total, inner, plain)
			done, first, ok := r.Add(number, total, inner, plain)
			if ok != (want != nil) || ok && (!bytes.Equal(done, want.octets) || first != want.first) {
				t.Fatalf("%d/%d: %d octets, first %v, %v; want %+v", number, total, len(done), first, ok, want)
			}
		}
	})
}

// model is the reassembly written a second time, in the plainest way.
type model struct {
	total uint16
	parts map[uint16][]byte
	size  int
	first wire.PayloadType
}

type whole struct {
	octets []byte
	first  wire.PayloadType
}

func (m *model) add(number, total uint16, inner wire.PayloadType, plain []byte) *whole {
	if number < 1 || number > total || total > wire.MaxFragments || total < m.total {
		return nil
	}
	if total > m.total {
		*m = model{total: total, parts: map[uint16][]byte{}}
	}
	if _, have := m.parts[number]; have {
		return nil
	}
	if m.parts[number] = plain; number == 1 {
		m.first = inner
	}
	if m.size += len(plain); m.size > wire.MaxReassembled {
		*m = model{}
		return nil
	}
	if len(m.parts) < int(total) {
		return nil
	}
	done := &whole{first: m.first}
	for n := uint16(1); n <= total; n++ {
		done.octets = append(done.octets, m.parts[n]...)
	}
	*m = model{}
	return done
}
