package dataplane

import "net/netip"

// Sealing is what a handle of the twin seals by now.
type Sealing struct {
	SA     SA
	Remote netip.AddrPort
	SPI    uint32
	Digest Digest
}

// Digests are those of the keys that the twin opens by, by SPI, and of those it seals by. Two ends agree on keys when what
// one seals has the same at the other.
func (m *Memory) Digests() (opens map[uint32]Digest, seals []Sealing) {
	opens = map[uint32]Digest{}
	for _, a := range m.associations.all() {
		for _, in := range a.inbounds {
			opens[in.SPI] = in.twin.digest
		}
		if o := a.Outbound(); o != nil {
			seals = append(seals, Sealing{SA: a.SA, Remote: o.Remote, SPI: o.SPI, Digest: o.twin.digest})
		}
	}
	return opens, seals
}
