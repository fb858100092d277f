package peers

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
)

// protection is how a pair of routers protects what is between them, in our words and in strongSwan's.
type protection struct {
	name               string
	ike, esp           string // suites in our words; "" = what we offer by default
	theirIKE, theirESP string
	pluto              [2]string // IKE and ESP in libreswan's words
	certificate        bool
	key                authtest.KeyType // of the certificates
	psk                string           // another one than everybody's
	stranger           bool             // certified by an authority that nobody else believes
	ppk                bool
	tunnel             bool
	either             bool     // we leave the mode to the peer
	encapsulation      string   // a word of ours
	cut                string   // where we cut what is too large for the path; a word of ours
	profile            []string // more lines of our profile
	connection         []string // more lines of strongSwan's connection
	child              []string // and of its child
	restless           bool     // its SAs live for seconds
}

const (
	secretPSK = "correct-horse-battery-staple"
	ppkName   = "lab"
	ppkSecret = "0123456789abcdef0123456789abcdef"
)

func (p protection) mode() string {
	if p.tunnel {
		return "tunnel"
	}
	return "transport"
}

// yaml is our profile.
func (p protection) yaml(n *node) []string {
	mode := p.mode()
	if p.either {
		mode = "auto"
	}
	y := []string{"profiles:", "  lab:", "    mode: " + mode}
	if p.certificate {
		y = append(y, "    certificate: "+n.path("-cert.pem"), "    key: "+n.path("-key.pem"), "    ca: "+n.path("-ca.pem"))
	} else {
		y = append(y, "    psk: "+cmp.Or(p.psk, secretPSK))
	}
	if p.ike != "" {
		y = append(y, "    ike: "+p.ike)
	}
	if p.esp != "" {
		y = append(y, "    esp: "+p.esp)
	}
	if p.ppk {
		y = append(y, fmt.Sprintf("    ppk: [{id: %s, secret: %s}]", ppkName, ppkSecret), "    ppk-required: true")
	}
	for _, line := range p.profile {
		y = append(y, "    "+line)
	}
	return y
}

func (p spec) protected() bool { return p.protect.name != "" }

// domainName is the router's identity where it has a certificate.
func (p spec) domainName() string { return p.name + ".example.net" }

// pki is the scene's certification authority, with one between it and the routers.
type pki struct{ root, intermediate *authtest.Entity }

func (s *scene) pki() pki {
	if s.authority.root == nil {
		s.authority.root = authtest.Root("laboratory", time.Now(), authtest.P384)
		s.authority.intermediate = s.authority.root.Intermediate("routers", authtest.P256)
	}
	return s.authority
}

// entity is a router's certificate and key.
func (s *scene) entity(p spec, how protection, edits ...authtest.Edit) *authtest.Entity {
	issuer := s.pki().intermediate
	if how.stranger {
		issuer = authtest.Root("stranger", time.Now(), authtest.P256)
	}
	return issuer.Issue(p.name, how.key, append([]authtest.Edit{authtest.Names(p.domainName())}, edits...)...)
}

// writeCertificate gives a router of ours what its profile names.
func (n *node) writeCertificate(e *authtest.Entity) {
	n.s.t.Helper()
	for kind, text := range map[string][]byte{
		"-cert.pem": e.ChainPEM(), "-key.pem": e.KeyPEM(), "-ca.pem": n.s.pki().root.CertPEM(),
	} {
		if err := os.WriteFile(n.path(kind), text, 0o600); err != nil {
			n.s.t.Fatal(err)
		}
	}
}

// wireshark is the preferences of a Wireshark profile that decrypts. Packets of several queues may overtake each other,
// which it would remark on.
const wireshark = "esp.do_esp_sequence_analysis: FALSE\nesp.enable_encryption_decode: TRUE\nesp.enable_authentication_check: TRUE\n"

// keys is the folder into which routers of ours write their keys, a Wireshark profile.
func (s *scene) keys() string { return filepath.Join(s.run, "keys") }

// sa is the row of `show sas` for a peer's site.
func (n *node) sa(site int) (ike.SARow, error) {
	var all []ike.SARow
	if err := n.show(&all, "sas"); err != nil {
		return ike.SARow{}, err
	}
	for _, r := range all {
		if r.Remote == nbma(site) || r.Remote == nbma(site)+":4500" || r.Remote == nbma(site)+":500" {
			return r, nil
		}
	}
	return ike.SARow{}, fmt.Errorf("%s has no SA with %s: %+v", n.name, nbma(site), all)
}

// ikeSAs are the rows of `show ike`.
func (n *node) ikeSAs() (all []ike.IKERow, err error) {
	err = n.show(&all, "ike")
	return all, err
}
