package ike

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// refusal is a peer that came to us and was turned away, kept for show and why.
type refusal struct {
	reason   string
	identity string
	at       time.Duration
	count    int
}

const (
	maxRefused  = 256
	refusedLife = time.Hour
	quietTime   = time.Minute // between two log lines of the same about the same peer
)

// turnAway notes why a peer that came to us got nothing. The log hears of it once in a while: this is what anybody
// on the Internet can cause.
func (m *Module) turnAway(env *core.Env, s *sa, reason string) {
	identity := ""
	if s.identity.Kind != 0 {
		identity = s.identity.String()
	}
	m.noteRefusal(env, s.remote, identity, reason)
}

func (m *Module) noteRefusal(env *core.Env, remote netip.AddrPort, identity, reason string) {
	m.countFailure(reason)
	r := m.refused[remote.Addr()]
	if r == nil {
		m.makeRoom(env.Now())
		r = &refusal{}
		m.refused[remote.Addr()] = r
	}
	r.count++
	if news(r.reason, reason, env.Now()-r.at) && m.alarms.take(env.Now()) {
		r.at = env.Now()
		args := []any{"peer", remote, "cause", reason}
		if identity != "" {
			args = append(args, "identity", identity)
		}
		env.Log(core.Warn, "refused", args...)
	}
	r.reason, r.identity = reason, identity
}

// news reports whether a reason is worth a line in the log: it is not the one that was told before, so long ago.
func news(before, reason string, ago time.Duration) bool {
	return timeless(before) != timeless(reason) || ago >= quietTime
}

// timeless is a reason without its numbers: that of a certificate says how long ago, and what time it is.
func timeless(reason string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, reason)
}

// makeRoom forgets the oldest refusal when there are many.
func (m *Module) makeRoom(now time.Duration) {
	maps.DeleteFunc(m.refused, func(_ netip.Addr, r *refusal) bool { return now-r.at > refusedLife })
	if len(m.refused) < maxRefused {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(m.refused)), func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(m.refused[a].at, m.refused[b].at), a.Compare(b))
	})
	delete(m.refused, oldest)
}

// turnAwayGreeting answers an offer that the profile cannot accept.
func (m *Module) turnAwayGreeting(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, p *Profile, err error) {
	m.count("no-proposal-chosen")
	m.noteRefusal(env, ev.Remote, "", "profile "+p.Name+": "+err.Error())
	m.reply(env, ev, h, &wire.Notify{Kind: wire.NoProposalChosen})
}

// unreadableGreeting answers a first message that makes no sense, where the RFC wants it answered (section 2.5).
func (m *Module) unreadableGreeting(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, err error) {
	m.count("malformed")
	var critical *wire.CriticalError
	if errors.As(err, &critical) {
		m.reply(env, ev, h, &wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(critical.Type)}})
		return
	}
	m.reply(env, ev, h, &wire.Notify{Kind: wire.InvalidSyntax})
}

// matches reports whether a PSK may be that of an identity.
func (k PSK) matches(id auth.Identity) bool { return k.Peer == (auth.Pattern{}) || k.Peer.Match(id) }

// closeness is how much a PSK is that of one identity: of it alone, of some, of everybody.
func (k PSK) closeness() int {
	_, exact := k.Peer.Exact()
	switch {
	case exact:
		return 2
	case k.Peer == (auth.Pattern{}) || k.Peer.Any():
		return 0
	}
	return 1
}

// closest is the closeness of the PSKs that count for an identity: who holds one for everybody must not pass for somebody
// who has one of its own.
func (p *Profile) closest(id auth.Identity) (closest int) {
	for _, k := range p.PSKs {
		if k.matches(id) {
			closest = max(closest, k.closeness())
		}
	}
	return closest
}

// aboutAddresses reports whether a PSK is for peers known by their addresses: then it is not for others.
func (k PSK) aboutAddresses() bool { return k.Peer != (auth.Pattern{}) && k.Peer.OfAddresses() }
