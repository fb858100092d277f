package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
)

const (
	handshakeSpokes = 1000
	handshakeWindow = 64  // at once: enough to keep one core busy
	handshakeCPU    = "0" // the one core
	handshakeRounds = 3   // at most
)

// x25519 is what both makes can do. By default ours adds ML-KEM-768.
const x25519 = "aes256gcm-sha384-x25519"

// responder is a hub that answers handshakes.
type responder struct {
	name         string
	charon       bool
	certificates bool
	ike          string // suite; "" is ours by default
}

var responders = []responder{
	{"charon, PSK", true, false, x25519},
	{"charon, ECDSA", true, true, x25519},
	{"Spokeway, PSK", false, false, x25519},
	{"Spokeway, ECDSA", false, true, x25519},
	{"Spokeway, PSK, with ML-KEM-768", false, false, ""},
}

var handshakeMetrics = []metric{
	{"core", "handshakes per second of a core", "a second", 1},
	{"cpu", "hub CPU each", "µs", 1},
	{"p50", "time of each, p50", "ms", 1},
}

// handshakes measures what a hub's half of a handshake costs: IKE_SA_INIT and IKE_AUTH with the first child SA. The
// spokes are the same for all hubs, and do their half on another core.
func handshakes(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: fmt.Sprintf("%d handshakes with one hub on one core", handshakeSpokes)}
	authority, err := newAuthority()
	if err != nil {
		return nil, err
	}
	hubs := responders
	c, err := findCharon()
	if err != nil {
		rep.note("%v", err)
		hubs = responders[2:]
	} else {
		rep.note("%s with kernel-libipsec, tunnel mode, a route for each peer, log off. Its load-tester is in no Debian package: the spokes are ours for both", c.version)
	}
	r, names := rounds{}, []string(nil)
	for _, h := range hubs {
		names = append(names, h.name)
	}
	for n := range min(o.rounds, handshakeRounds) {
		for _, h := range inTurn(hubs, n) {
			if err := h.measure(ctx, o, c, authority, r); err != nil {
				return nil, fmt.Errorf("%s: %w", h.name, err)
			}
		}
		progress("handshakes", n+1, min(o.rounds, handshakeRounds))
	}
	rep.Tables = append(rep.Tables, absolute("", r, handshakeMetrics, names))
	if c != nil {
		rep.Tables = append(rep.Tables,
			compare("", r, handshakeMetrics, []string{names[0], names[2], names[4]}, names[0]),
			compare("", r, handshakeMetrics, []string{names[1], names[3]}, names[1]))
	}
	rep.Raw = r.plain()
	return rep, nil
}

// measure plays one round against a hub that has just been started.
func (h responder) measure(ctx context.Context, o options, c *charon, a *authority, r rounds) error {
	l, err := newLab(ctx, "k")
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.crowd(); err != nil {
		return err
	}
	p, err := h.start(l, o, c, a)
	if err != nil {
		return err
	}
	f, err := newFleet(l, "spokes", h.spoke(), handshakeSpokes)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.boot(h.profiles(f, a)); err != nil {
		return err
	}
	before := cpuTime(p)
	got, err := f.play(ctx, handshakeWindow, giveUp, (*member).shake, func(m *member) bool { return m.up })
	if err != nil {
		return fmt.Errorf("%w: %s", err, p.tail())
	}
	cpu := (cpuTime(p) - before).Seconds()
	r.add("core", h.name, handshakeSpokes/cpu)
	r.add("cpu", h.name, cpu/handshakeSpokes*1e6)
	r.add("p50", h.name, percentile(got.times, 50))
	return nil
}

func (h responder) start(l *lab, o options, c *charon, a *authority) (*process, error) {
	if h.charon {
		return c.start(l, "hub", charonOptions{swanctl: h.swanctl(), files: map[string]string{
			"x509/hub.pem": a.hub.certificate, "private/hub.pem": a.hub.key, "x509ca/ca.pem": a.certificate,
		}, cpu: handshakeCPU})
	}
	text, err := h.yaml(l, a)
	if err != nil {
		return nil, err
	}
	n, _, err := l.profiled(o, "hub", text, "taskset", "-c", handshakeCPU)
	if err != nil {
		return nil, err
	}
	return n.process, n.isUp()
}

// suites is the line of a profile.
func (h responder) suites() string {
	if h.ike == "" {
		return "esp: aes256gcm"
	}
	return "esp: aes256gcm, ike: " + h.ike
}

// yaml is the configuration of our hub.
func (h responder) yaml(l *lab, a *authority) (string, error) {
	proof := "psk: no secret at all"
	if h.certificates {
		for name, text := range map[string]string{"ca.pem": a.certificate, "hub.pem": a.hub.certificate, "hub.key": a.hub.key} {
			if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
				return "", err
			}
		}
		proof = fmt.Sprintf("certificate: %[1]s/hub.pem, key: %[1]s/hub.key, ca: %[1]s/ca.pem", l.dir)
	}
	return loadConfig("/16", fmt.Sprintf("{%s, %s}", proof, h.suites())), nil
}

// spoke is the configuration of the fleet. With certificates, profiles replaces what is a spoke's own.
func (h responder) spoke() string {
	mode := ""
	if h.charon {
		mode = ", mode: tunnel"
	}
	return fleetConfig(fmt.Sprintf("{psk: no secret at all, %s%s}", h.suites(), mode))
}

// profiles gives each spoke a certificate of its own, where there are any.
func (h responder) profiles(f *fleet, a *authority) func(int, ike.Profile) (*ike.Profile, error) {
	if !h.certificates {
		return f.sameProfile()
	}
	return func(i int, p ike.Profile) (*ike.Profile, error) {
		name := fmt.Sprintf("s%d.bench", i)
		own, err := a.issue(name)
		if err != nil {
			return nil, err
		}
		if p.Credential, err = auth.LoadCredential([]byte(own.certificate), []byte(own.key)); err != nil {
			return nil, err
		}
		p.PSKs, p.Trust = nil, a.trust
		p.Local, err = auth.ParseIdentity(name)
		return &p, err
	}
}

// swanctl is the configuration of charon as a hub.
func (h responder) swanctl() string {
	local, remote := "auth = psk", "auth = psk"
	if h.certificates {
		local, remote = "auth = pubkey\n      certs = hub.pem", "auth = pubkey\n      cacerts = ca.pem"
	}
	return fmt.Sprintf(`connections {
  bench {
    version = 2
    proposals = aes256gcm16-prfsha384-x25519
    local_addrs = 10.9.0.1
    remote_addrs = %%any
    dpd_delay = 20s
    local { %s
    }
    remote { %s
    }
    children { bench { mode = tunnel
        esp_proposals = aes256gcm16
        local_ts = 10.9.0.1/32[gre]
        remote_ts = dynamic[gre]
      } }
  }
}
secrets { ike-any { secret = "no secret at all"
  } }
`, local, remote)
}

// authority issues certificates: ECDSA with P-256.
type authority struct {
	certificate string
	parsed      *x509.Certificate
	key         *ecdsa.PrivateKey
	hub         credential
	trust       *auth.Trust
	serial      int64
}

// credential is a certificate and its key, as PEM.
type credential struct{ certificate, key string }

func newAuthority() (a *authority, err error) {
	a = &authority{serial: 1}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), crand.Reader); err != nil {
		return nil, err
	}
	t := a.template("bench authority")
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(crand.Reader, t, t, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	a.certificate = pemOf("CERTIFICATE", der)
	if a.parsed, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if a.trust, err = auth.NewTrust([][]byte{[]byte(a.certificate)}, nil, nil); err != nil {
		return nil, err
	}
	a.hub, err = a.issue("hub.bench")
	return a, err
}

func (a *authority) template(name string) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// issue certifies a name for a key that it makes.
func (a *authority) issue(name string) (c credential, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return c, err
	}
	t := a.template(name)
	t.DNSNames, t.KeyUsage = []string{name}, x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(crand.Reader, t, a.parsed, key.Public(), a.key)
	if err != nil {
		return c, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return credential{pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", private)}, err
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
