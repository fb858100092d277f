package ike

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
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
	news := r.reason != reason || env.Now()-r.at >= quietTime
	r.count++
	if news && m.alarms.take(env.Now()) {
		r.at = env.Now()
		args := []any{"peer", remote, "cause", reason}
		if identity != "" {
			args = append(args, "identity", identity)
		}
		env.Log(core.Warn, "refused", args...)
	}
	r.reason, r.identity = reason, identity
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

// aboutAddresses reports whether a PSK is for peers known by their addresses: then it is not for others.
func (k PSK) aboutAddresses() bool { return k.Peer != (auth.Pattern{}) && k.Peer.OfAddresses() }
