package wire_test

import (
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

func TestBuiltLSAsHaveARightChecksum(t *testing.T) {
	k := wire.LSAKey{Type: 1, ID: 0x01010101, Router: 0x01010101}
	for n := range 400 {
		l, err := wire.Build(wire.V2, k, 0, wire.InitialSequence+int32(n), &wire.RouterLSA{Links: make([]wire.Link, n%7)})
		if err != nil || !l.ChecksumOK() || l.Check(wire.V2) != nil {
			t.Fatalf("%d: %v, % x", n, err, l.Raw)
		}
		l.Raw[2+n%(len(l.Raw)-2)] ^= 0x41
		if l.ChecksumOK() {
			t.Fatalf("%d: octet %d changed, and the checksum is still right", n, 2+n%(len(l.Raw)-2))
		}
	}
}
