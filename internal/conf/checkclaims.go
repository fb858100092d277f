package conf

import (
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
)

// claims warns where somebody with good credentials can have the tunnel address of another. It says nothing where there is
// one peer, or one key for all: those cannot be told apart by any binding.
func (k *checker) claims(path string, p *Profile) {
	accepted := p.accepts()
	_, one := exactly(accepted)
	at := join(path, "bind")
	switch bound := len(p.IKE.Bindings) > 0; {
	case k.bad[at] || k.bad[join(path, "peers")]:
	case bound && p.sharesKey():
		k.warnAt(at, "bind: peers prove themselves with a key that several have, so that each can say to be any of them: give each its own key under psks, or certificates")
	case bound:
		k.unbound(at, p, accepted)
	case one || p.sharesKey() || len(accepted) == 0:
	default:
		if t := k.serverWith(p.Name); t != nil {
			k.warnAt(path, "profile %s has no bind, and %s takes registrations: each of its peers can register the tunnel address of one that is away, and have its traffic; bind identities to their addresses, or \"*\" to those of the cloud if that is meant", p.Name, t.Name)
		}
	}
}

// unbound warns of peers that none of the bindings is for: they may claim what others are bound to.
func (k *checker) unbound(at string, p *Profile, accepted []auth.Pattern) {
	for _, a := range accepted {
		if !slices.ContainsFunc(p.IKE.Bindings, func(b ike.Binding) bool { return covers(b.Peer, a) }) {
			k.warnAt(at, "bind: it is not for every peer, and those that it is not for may claim any tunnel address, that of others too: end the list with {peer: %q, addresses: …}", a)
			return
		}
	}
}

// covers reports whether a pattern is for every identity that another is for, as far as the two can be compared.
func covers(p, other auth.Pattern) bool {
	if id, exact := other.Exact(); exact {
		return p.Match(id)
	}
	return p.Any() || p.String() == other.String()
}

// accepts are the patterns of those who can come to be peers.
func (p *Profile) accepts() []auth.Pattern {
	if len(p.IKE.Peers) > 0 {
		return p.IKE.Peers
	}
	if p.IKE.Credential != nil {
		return []auth.Pattern{anybody}
	}
	var out []auth.Pattern
	for _, s := range p.IKE.PSKs {
		out = append(out, s.Peer)
	}
	return out
}

// sharesKey reports whether a pre-shared key is that of several peers, or of who knows whom.
func (p *Profile) sharesKey() bool {
	return slices.ContainsFunc(p.IKE.PSKs, func(s ike.PSK) bool {
		_, exact := s.Peer.Exact()
		return !exact
	})
}

// exactly is the one identity that patterns are for, if it is one.
func exactly(ps []auth.Pattern) (id auth.Identity, one bool) {
	for i, p := range ps {
		was := id
		if id, one = p.Exact(); !one || i > 0 && id != was {
			return id, false
		}
	}
	return id, one
}

// serverWith is a tunnel with a profile where others register; nil when there is none.
func (k *checker) serverWith(profile string) *Tunnel {
	for i := range k.conf.Tunnels {
		t := &k.conf.Tunnels[i]
		if t.Protect == profile && t.NHRP != nil && t.NHRP.TakesClients() {
			return t
		}
	}
	return nil
}
