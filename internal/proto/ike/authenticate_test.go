package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// meet has a router of one profile begin with one of another, and reports whether they came up. The reasons why not are of a and of b.
func meet(t *testing.T, pa, pb *Profile, wait time.Duration) (w *world, a, b *node, up bool) {
	t.Helper()
	w = newWorld(t, 11)
	a, b = w.add("a", "192.0.2.1", pa, 0), w.add("b", "192.0.2.2", pb, 0)
	a.ensure(b)
	w.pass(wait)
	if up = linked(a, b); up {
		w.mustPass(a, b)
		return w, a, b, true
	}
	// A responder that proved itself to no avail was up for a moment.
	if w.pass(300 * time.Millisecond); len(a.in)+len(a.out)+len(b.in)+len(b.out) > 0 || len(a.ups) > 0 || len(b.ups) != len(b.downs) {
		t.Errorf("not up, and keys are in the data plane: %v %v %v", a.ups, b.ups, b.downs)
	}
	return w, a, b, false
}

// tells reports whether one of several reasons is said, and what to do about it.
func tells(a, b *node, reasons string) bool {
	if reasons == "" {
		return true
	}
	for reason := range strings.SplitSeq(reasons, "|") {
		for line := range strings.SplitSeq(said(a, b), "\n") {
			if strings.Contains(line, reason) && Remedy(line) != "" {
				return true
			}
		}
	}
	return false
}

// said is all that both routers tell of their trouble.
func said(a, b *node) string {
	var all []string
	for _, n := range []*node{a, b} {
		for _, row := range n.module.IKE(n.w.now) {
			all = append(all, row.Reason)
		}
		for _, f := range n.failed {
			all = append(all, f.Reason)
		}
	}
	return strings.Join(all, "\n")
}

func keys(of ...string) (out []PSK) {
	for _, text := range of {
		who, secret, named := strings.Cut(text, "=")
		if !named {
			out = append(out, PSK{Secret: []byte(text)})
			continue
		}
		out = append(out, PSK{Peer: patterns(who)[0], Secret: []byte(secret)})
	}
	return out
}

func named(id string, psks ...string) *Profile {
	return profile(plain, func(p *Profile) {
		p.PSKs = keys(psks...)
		if id != "" {
			p.Local = identity(id)
		}
	})
}

// TestPSKs is RFC 7296 section 2.15 by pre-shared keys: which is used for whom, and their change.
func TestPSKs(t *testing.T) {
	for _, x := range []struct {
		name   string
		pa, pb *Profile
		up     bool
		reason string
	}{
		{"RFC 7296 2.15: one key for everybody", named("", "k"), named("", "k"), true, ""},
		{"RFC 7296 2.15: another key", named("", "k"), named("", "x"), false, "the pre-shared keys differ"},
		{"RFC 7296 2.15: no key for that peer", named("a.example.com", "k"), named("", "c.example.com=k"), false, "no pre-shared key for"},
		{"RFC 7296 2.15: a key by name", named("a.example.com", "b.example.com=k"), named("b.example.com", "a.example.com=k", "c.example.com=x"), true, ""},
		{"RFC 7296 2.15: another's key does not prove one's own name", named("c.example.com", "k"), named("b.example.com", "a.example.com=k", "c.example.com=x"), false, "the pre-shared keys differ"},
		{"RFC 7296 2.15: a key for everybody does not prove a name that has one of its own", named("a.example.com", "g"), named("b.example.com", "a.example.com=h", "g"), false, "the pre-shared keys differ"},
		{"RFC 7296 2.15: a key by address", named("", "192.0.2.2=k", "192.0.2.3=x"), named("", "192.0.2.0/24=k"), true, ""},
		{"RFC 7296 2.15: a key by pattern", named("a.example.com", "k"), named("b.example.com", "*.example.com=k"), true, ""},
		{"RFC 7296 2.15: a key by key ID", named("keyid:spoke-1", "k"), named("b.example.com", "keyid:spoke-1=k"), true, ""},
		{"RFC 7296 2.15: a key by e-mail address", named("a@example.com", "k"), named("b.example.com", "*@example.com=k"), true, ""},
		{"RFC 7296 2.15: an identity that is an address behind a NAT need not be that of the packet", named("10.1.2.3", "k"), named("", "10.1.2.3=k"), true, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, a, b, up := meet(t, x.pa, x.pb, 5*time.Second)
			if up != x.up || !tells(a, b, x.reason) {
				t.Errorf("up is %v\n%s", up, said(a, b))
			}
		})
	}
	steps := map[string][]string{"old": {"old"}, "old then new": {"old", "new"}, "new then old": {"new", "old"}, "new": {"new"}}
	for from, one := range steps {
		for to, other := range steps {
			common := slices.ContainsFunc(one, func(k string) bool { return slices.Contains(other, k) })
			t.Run(fmt.Sprintf("RFC 7296 2.15: a key changes without a flag day: %s and %s", from, to), func(t *testing.T) {
				if _, a, b, up := meet(t, named("", one...), named("", other...), 20*time.Second); up != common {
					t.Errorf("up is %v\n%s", up, said(a, b))
				}
			})
		}
	}
	play(t, []rule{
		{"RFC 7296 2.21.2: an unknown identity and a wrong key get answers that do not tell them apart", func(t *testing.T) {
			var sizes []int
			for _, id := range []string{"known.example.com", "other.example.com"} {
				n := newWorld(t, 3).add("b", "192.0.2.2", named("", "known.example.com=k"), 0)
				s := halfOpen(t, n, newStranger(1))
				all := n.w.tape()
				wantKinds(t, n.ask(s, wire.IKEAuth, s.twin(n.w).proofBy("wrong", id)...), wire.AuthenticationFailed)
				sizes = append(sizes, len((*all)[0].sent.Payload))
			}
			if sizes[0] != sizes[1] {
				t.Error(sizes)
			}
		}},
		{"CVE-2024-2357: without a key of our own for the peer nothing is left half done", func(t *testing.T) {
			w, a, b, up := meet(t, named("", "192.0.2.77=k"), named("", "k"), 10*time.Second)
			a.release(b)
			if w.pass(time.Minute); up || len(a.module.sas) != 0 || !b.idle() || !strings.Contains(said(a, b), "neither a certificate nor a pre-shared key") {
				t.Error(up, len(a.module.sas), said(a, b))
			}
		}},
	})
}

// epoch is the virtual routers' wall clock at the start.
var epoch = time.Unix(0, 0).UTC()

// pki is an authority and what is made of it.
type pki struct{ root *authtest.Entity }

func (x pki) profile(e *authtest.Entity, change ...func(*Profile)) *Profile {
	return profile(append([]func(*Profile){plain, func(p *Profile) {
		c, err := auth.LoadCredential(e.ChainPEM(), e.KeyPEM())
		if err != nil {
			panic(err)
		}
		p.PSKs, p.Credential, p.Trust = nil, c, x.trust()
	}}, change...)...)
}

func (x pki) trust(crls ...[]byte) *auth.Trust {
	trust, err := auth.NewTrust([][]byte{x.root.CertPEM()}, nil, crls)
	if err != nil {
		panic(err)
	}
	return trust
}

// TestCertificates is RFC 7296 section 2.15 by certificates, and RFC 7427.
func TestCertificates(t *testing.T) {
	x := pki{authtest.Root("Acme", epoch, authtest.P256)}
	other := pki{authtest.Root("Other", epoch, authtest.P256)}
	issue := func(name string, kind authtest.KeyType, edits ...authtest.Edit) *authtest.Entity {
		return x.root.Issue(name, kind, append([]authtest.Edit{authtest.Names(name)}, edits...)...)
	}
	hub := issue("hub.example.com", authtest.P256)
	revoked := issue("spoke.example.com", authtest.P256)
	crl := x.root.CRL(epoch.Add(-time.Hour), epoch.AddDate(1, 0, 0), authtest.Revoked{Entity: revoked, At: epoch})
	for _, c := range []struct {
		name   string
		a, b   *Profile
		reason string // "" when they come up
	}{
		{"RFC 7427 3: ECDSA with P-256", x.profile(issue("spoke.example.com", authtest.P256)), x.profile(hub), ""},
		{"RFC 7427 3: ECDSA with P-384", x.profile(issue("spoke.example.com", authtest.P384)), x.profile(hub), ""},
		{"RFC 7427 3: ECDSA with P-521", x.profile(issue("spoke.example.com", authtest.P521)), x.profile(hub), ""},
		{"RFC 8420 3: Ed25519", x.profile(issue("spoke.example.com", authtest.Ed25519)), x.profile(hub), ""},
		{"RFC 7427 3: RSA", x.profile(issue("spoke.example.com", authtest.RSA2048)), x.profile(hub), ""},
		{"RFC 7296 2.15: each end proves itself its own way", named("", "k"), named("", "k"), ""},
		{"RFC 5280 4.1.2.5: expired", x.profile(issue("spoke.example.com", authtest.P256, authtest.Valid(epoch.AddDate(-2, 0, 0), epoch.AddDate(-1, 0, 0)))), x.profile(hub), "expired"},
		{"RFC 5280 4.1.2.5: not yet valid", x.profile(issue("spoke.example.com", authtest.P256, authtest.Valid(epoch.AddDate(1, 0, 0), epoch.AddDate(2, 0, 0)))), x.profile(hub), "not valid before"},
		{"RFC 5280 5: revoked", x.profile(revoked), x.profile(hub, func(p *Profile) { p.Trust = x.trust(crl) }), "revoked"},
		{"RFC 5280 6: of an authority that is not trusted", other.profile(other.root.Issue("spoke.example.com", authtest.P256, authtest.Names("spoke.example.com")), func(p *Profile) { p.Trust = x.trust() }), x.profile(hub), "authority"},
		{"RFC 7296 2.15: an identity that is not in the certificate", x.profile(issue("spoke.example.com", authtest.P256), func(p *Profile) { p.Local = identity("hub.example.com") }), x.profile(hub), "hub.example.com"},
		{"RFC 7296 2.15: a certificate where none is believed", x.profile(issue("spoke.example.com", authtest.P256)), named("", "k"), "trusts no authority|no pre-shared key for"},
		{"RFC 7296 2.15: a pre-shared key where there is none", named("spoke.example.com", "k"), x.profile(hub), "no pre-shared key for|trusts no authority"},
		{"RFC 4945 5.1.3: a certificate that may not sign", x.profile(issue("spoke.example.com", authtest.P256, authtest.Usage(1<<4))), x.profile(hub), "sign"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, p := range [][2]*Profile{{c.a, c.b}, {c.b, c.a}} {
				_, a, b, up := meet(t, p[0], p[1], 3*time.Second)
				if up != (c.reason == "") || !tells(a, b, c.reason) {
					t.Errorf("direction %d: up is %v\n%s", i, up, said(a, b))
				}
			}
		})
	}
	play(t, []rule{
		{"RFC 7296 2.15: a certificate at one end and a pre-shared key at the other", func(t *testing.T) {
			spoke := named("spoke.example.com", "k")
			spoke.Trust = x.trust()
			h := x.profile(hub)
			h.PSKs = keys("k")
			for i, p := range [][2]*Profile{{spoke, h}, {h, spoke}} {
				if _, a, b, up := meet(t, p[0], p[1], 3*time.Second); !up {
					t.Errorf("direction %d\n%s", i, said(a, b))
				}
			}
		}},
		{"RFC 7383 1: certificates are cut into fragments that fit, and none is longer", func(t *testing.T) {
			w := newWorld(t, 1)
			small := func(p *Profile) { p.FragmentSize = 576 }
			a := w.add("a", "192.0.2.1", x.profile(issue("spoke.example.com", authtest.RSA2048), small), 0)
			b := w.add("b", "192.0.2.2", x.profile(hub, small), 0)
			all := w.tape()
			a.ensure(b)
			w.pass(3 * time.Second)
			w.mustPass(a, b)
			for _, m := range *all {
				if m.header.Exchange != wire.SAInit && len(m.sent.Payload) > 576-32 {
					t.Errorf("%v has %d octets", m.header, len(m.sent.Payload))
				}
			}
			if len(of(*all, wire.IKEAuth, false)) < 3 {
				t.Error("there were no fragments: the test shows nothing")
			}
		}},
	})
}

// TestReloadWithCertificates is what becomes of an SA when the profile changes that it was made with: certificates are held
// against what is believed now, and who is believed still notices nothing.
func TestReloadWithCertificates(t *testing.T) {
	x, other := pki{authtest.Root("Acme", epoch, authtest.P256)}, pki{authtest.Root("Other", epoch, authtest.P256)}
	issue := func(name string) *authtest.Entity { return x.root.Issue(name, authtest.P256, authtest.Names(name)) }
	hub, spoke := issue("hub.example.com"), issue("spoke.example.com")
	crl := func(revoked *authtest.Entity) []byte {
		return x.root.CRL(epoch.Add(-time.Hour), epoch.AddDate(1, 0, 0), authtest.Revoked{Entity: revoked, At: epoch})
	}
	for _, c := range []struct {
		name   string
		change func(*Profile)
		stays  bool
		up     bool // in the end
	}{
		{"RFC 5280 5: a revocation list with another in it", func(p *Profile) { p.Trust = x.trust(crl(issue("x.example.com"))) }, true, true},
		{"RFC 5280 5: a revocation list with the peer in it", func(p *Profile) { p.Trust = x.trust(crl(spoke)) }, false, false},
		{"RFC 5280 6: another authority", func(p *Profile) { p.Trust = other.trust() }, false, false},
		{"RFC 7296 2.15: certificates are believed no more", func(p *Profile) { p.Trust, p.PSKs = nil, keys("k") }, false, false},
		{"RFC 7296 2.15: peers with it among them", func(p *Profile) { p.Peers = patterns("spoke.example.com") }, true, true},
		{"RFC 7296 2.15: peers without it", func(p *Profile) { p.Peers = patterns("x.example.com") }, false, false},
		{"RFC 7296 2.15: a new certificate of our own is shown", func(p *Profile) { p.Credential = x.profile(issue("hub.example.com")).Credential }, false, true},
		{"RFC 7296 2.8: another lifetime", func(p *Profile) { p.IKELifetime = time.Hour }, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rekeyed := range []bool{false, true} {
				w, a, b, _ := meet(t, x.profile(spoke), x.profile(hub), 3*time.Second)
				if first := b.ike(); rekeyed {
					b.call(func(env *core.Env) { b.ike().expired(env, &b.ike().lifetime) })
					if w.pass(time.Second); b.ike() == first {
						t.Fatal("the IKE SA was not rekeyed")
					}
				}
				before := b.ike()
				b.post(core.Request{Body: Configure{Profiles: []*Profile{x.profile(hub, c.change)}, Tunnels: []Tunnel{{Name: "tun0", Profile: before.profile.Name}}}})
				b.run()
				if stays := before.phase == established; stays != c.stays {
					t.Errorf("rekeyed %v: it stays: %v\n%s", rekeyed, stays, said(a, b))
				}
				if w.pass(3 * time.Second); linked(a, b) != c.up {
					t.Errorf("rekeyed %v: up is %v\n%s", rekeyed, !c.up, said(a, b))
				}
			}
		})
	}
}

// TestWhoMayCome is about peers that proved who they are.
func TestWhoMayCome(t *testing.T) {
	net := func(texts ...string) (out []netip.Prefix) {
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	bound := func(p *Profile) {
		p.Bindings = []Binding{{patterns("a.example.com")[0], net("10.0.0.1/32")}, {patterns("*.example.com")[0], net("10.0.1.0/24", "10.0.2.0/24")}, {patterns("*.example.net")[0], nil}}
	}
	for _, c := range []struct {
		name, id string
		peers    []string
		up       bool
		allowed  []netip.Prefix
	}{
		{"RFC 7296 2.15: a name that is wanted", "a.example.com", []string{"*.example.com"}, true, net("10.0.0.1/32")},
		{"RFC 7296 2.15: a name of more labels than the pattern has", "x.a.example.com", []string{"*.example.com"}, false, nil},
		{"RFC 7296 2.15: a name that is not wanted", "a.example.org", []string{"*.example.com"}, false, nil},
		{"RFC 7296 2.15: an address that is wanted", "10.9.9.9", []string{"*.example.com", "10.0.0.0/8"}, true, nil},
		{"RFC 7296 2.15: the first binding that fits counts", "c.example.com", nil, true, net("10.0.1.0/24", "10.0.2.0/24")},
		{"RFC 7296 2.15: a binding to nothing allows nothing", "c.example.net", nil, true, []netip.Prefix{}},
		{"RFC 7296 2.15: who has no binding may claim any", "c.example.org", nil, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			pb := profile(plain, bound, func(p *Profile) { p.Peers, p.Local = patterns(c.peers...), identity("hub.example.com") })
			for i, p := range [][2]*Profile{{named(c.id, rightPSK), pb}, {pb, named(c.id, rightPSK)}} {
				_, a, b, up := meet(t, p[0], p[1], 3*time.Second)
				if up != c.up {
					t.Fatalf("up is %v\n%s", up, said(a, b))
				}
				n := []*node{b, a}[i]
				if up && (!slices.Equal(n.ups[0].Allowed, c.allowed) || (n.ups[0].Allowed == nil) != (c.allowed == nil) || n.ups[0].Identity != c.id) {
					t.Errorf("%+v", n.ups[0])
				}
			}
		})
	}
}

// TestPPK is RFC 8784.
func TestPPK(t *testing.T) {
	with := func(need bool, ppks ...string) *Profile {
		return profile(plain, func(p *Profile) {
			p.NeedPPK = need
			for _, x := range ppks {
				id, secret, _ := strings.Cut(x, "=")
				p.PPKs = append(p.PPKs, PPK{id, []byte(secret)})
			}
		})
	}
	for _, c := range []struct {
		name   string
		pa, pb *Profile
		up     bool
	}{
		{"RFC 8784 3: both have it", with(false, "x=s"), with(false, "x=s"), true},
		{"RFC 8784 3: both have it and need it", with(true, "x=s"), with(true, "x=s"), true},
		{"RFC 8784 3: one of several", with(true, "x=s"), with(true, "y=t", "x=s"), true},
		{"RFC 8784 3: only one end has it", with(false, "x=s"), with(false), true},
		{"RFC 8784 3: one end needs it and the other has none", with(true, "x=s"), with(false), false},
		{"RFC 8784 3: the responder does not know it, and nobody needs it", with(false, "x=s"), with(false, "y=t"), true},
		{"RFC 8784 3: the responder does not know it, and the initiator needs one", with(true, "x=s"), with(false, "y=t"), false},
		{"RFC 8784 3: the responder does not know it, and needs one", with(false, "x=s"), with(true, "y=t"), false},
		{"RFC 8784 3: the same name for another secret", with(true, "x=s"), with(true, "x=t"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, p := range [][2]*Profile{{c.pa, c.pb}, {c.pb, c.pa}} {
				if c.name == "RFC 8784 3: one of several" && i == 1 {
					continue // an initiator offers its first
				}
				if _, a, b, up := meet(t, p[0], p[1], 10*time.Second); up != c.up {
					t.Errorf("direction %d: up is %v\n%s", i, up, said(a, b))
				}
			}
		})
	}
	t.Run("RFC 8784 3: keys of children are made with it", func(t *testing.T) {
		w, a, b, up := meet(t, with(true, "x=s"), with(true, "x=s"), 3*time.Second)
		if !up {
			t.Fatal(said(a, b))
		}
		a.rekeyChild()
		w.steady(a, b, time.Second)
	})
}

// TestHybrid is RFC 9370 with IKE_INTERMEDIATE.
func TestHybrid(t *testing.T) {
	hybrid := func(p *Profile) { p.IKE, p.DPD, p.MOBIKE = ikes("aes256gcm-sha384-x25519-mlkem768"), 0, false }
	play(t, []rule{
		{"RFC 9370 2.2.2: two of us agree on ML-KEM-768 by default", func(t *testing.T) {
			w, a, b := duo(t)
			all := w.tape()
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
			if s := a.ike().suite; len(s.Additional) != 1 || len(of(*all, wire.Intermediate, false)) == 0 {
				t.Error(s)
			}
		}},
		{"RFC 9370 2.2.2: with a peer that has none, classical keys do", func(t *testing.T) {
			if _, a, b, up := meet(t, profile(), profile(plain), 3*time.Second); !up || len(a.ike().suite.Additional) != 0 {
				t.Error(said(a, b))
			}
		}},
		{"RFC 9370 2.2.2: who insists gets nothing from who has none", func(t *testing.T) {
			if _, a, b, up := meet(t, profile(hybrid), profile(plain), 3*time.Second); up {
				t.Error(said(a, b))
			}
		}},
		{"RFC 9242 3.1: IKE_INTERMEDIATE crosses a path that carries no large datagrams", func(t *testing.T) {
			w, a, b := duo(t, hybrid)
			w.wire = func(_ *node, d dataplane.SendIKE) []time.Duration {
				if len(d.Payload) > 1280 {
					return nil
				}
				return []time.Duration{10 * time.Millisecond}
			}
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
		}},
		{"RFC 9242 3.3.2: a change of any octet in IKE_INTERMEDIATE has nothing established", func(t *testing.T) { tamper(t, wire.Intermediate, 37, hybrid) }},
		{"RFC 9242 3.3.2: taking the hybrid offer out of the greeting is found out", func(t *testing.T) {
			w, a, b := duo(t)
			w.nat = func(d dataplane.SendIKE) dataplane.SendIKE {
				h, err := wire.ParseHeader(d.Payload)
				if err != nil || h.Exchange != wire.SAInit {
					return d
				}
				p, _ := wire.ParsePayloads(h.Next, d.Payload[wire.HeaderLen:])
				p = slices.DeleteFunc(p, func(x wire.Payload) bool {
					n, ok := x.(*wire.Notify)
					return ok && n.Kind == wire.IntermediateExchangeSupported
				})
				d.Payload = wire.AppendMessage(nil, h, p)
				return d
			}
			a.ensure(b)
			w.pass(5 * time.Second)
			if len(a.ups)+len(b.ups) != 0 {
				t.Error("it came up without")
			}
		}},
	})
}

// tamper changes one octet after the other in an exchange, in every copy, and checks that nobody comes up.
func tamper(t *testing.T, x wire.Exchange, step int, change ...func(*Profile)) {
	t.Helper()
	for _, response := range []bool{false, true} {
		longest := 1
		for i := 0; i < longest; i += step {
			w, a, b := duo(t, change...)
			w.nat = func(d dataplane.SendIKE) dataplane.SendIKE {
				h, err := wire.ParseHeader(d.Payload)
				if err != nil || h.Exchange != x || (h.Flags&wire.Response != 0) != response {
					return d
				}
				if longest = max(longest, len(d.Payload)); i < len(d.Payload) {
					d.Payload = slices.Clone(d.Payload)
					d.Payload[i] ^= 0x01
				}
				return d
			}
			a.ensure(b)
			w.pass(900 * time.Millisecond)
			if len(a.ups) != 0 || a.counted("established") != 0 {
				t.Fatalf("%v, response %v: octet %d is changed, and a is up", x, response, i)
			}
			// A responder is up for a moment where the proof was good, and its own arrives changed.
			if !response && (len(b.ups) != 0 || b.counted("established") != 0) {
				t.Fatalf("%v, response %v: octet %d is changed, and b is up", x, response, i)
			}
		}
		if longest < 100 {
			t.Errorf("%v is %d octets long: the test shows nothing", x, longest)
		}
	}
}

// TestTampering changes what two routers say to each other.
func TestTampering(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 2.15: a change of any octet of IKE_SA_INIT has nothing established", func(t *testing.T) { tamper(t, wire.SAInit, 1, plain) }},
		{"RFC 7296 2.14: a change of any octet of IKE_AUTH has nothing established", func(t *testing.T) { tamper(t, wire.IKEAuth, 1, plain) }},
		{"RFC 7296 2.15: a change of any octet of AUTH inside IKE_AUTH is refused", func(t *testing.T) {
			for i := range 48 {
				n := alone(t, plain)
				s := halfOpen(t, n, newStranger(1))
				p := s.twin(n.w).proofBy(rightPSK, "198.51.0.1")
				p[1].(*wire.Auth).Data[i] ^= 1
				if wantKinds(t, n.ask(s, wire.IKEAuth, p...), wire.AuthenticationFailed); !n.idle() {
					t.Error(i)
				}
			}
			for _, data := range [][]byte{nil, {0}, make([]byte, 47), make([]byte, 49), make([]byte, 1000)} {
				n := alone(t, plain)
				s := halfOpen(t, n, newStranger(1))
				p := s.twin(n.w).proofBy(rightPSK, "198.51.0.1")
				p[1].(*wire.Auth).Data = data
				wantKinds(t, n.ask(s, wire.IKEAuth, p...), wire.AuthenticationFailed)
			}
		}},
		{"RFC 7296 2.15: AUTH of every other method with the right octets is refused", func(t *testing.T) {
			for method := range 256 {
				n := alone(t, plain)
				s := halfOpen(t, n, newStranger(1))
				p := s.twin(n.w).proofBy(rightPSK, "198.51.0.1")
				p[1].(*wire.Auth).Method = uint8(method)
				answer := n.ask(s, wire.IKEAuth, p...)
				if ok := wire.Get[*wire.Auth](answer) != nil; ok != (method == methodPSK) {
					t.Errorf("method %d: %v", method, answer)
				}
			}
		}},
	})
}
