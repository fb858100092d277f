package conf

import (
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

var profileKeys = section[Profile]{
	{"psk", "none", "pre-shared key, the same with every peer; better in a file",
		secretHere("text", pskAt, anything)},
	{"psk-file", "none", "file with the pre-shared key",
		secretFile(pskAt, anything)},
	{"psks", "none", "pre-shared keys by peer. The first that is for a peer proves who we are; all that are for it are taken as its proof, so that a key changes without a flag day",
		objects(pskKeys, peerSecret{peer: anybody}, func(p *Profile) *[]peerSecret { return &p.src.psks }, func(s *peerSecret) string { return s.peer.String() })},
	{"certificate", "none", "PEM file with our certificate, or files, and those of the authorities between it and a root",
		files(func(p *Profile) *[]file { return &p.src.certificate }, false)},
	{"key", "none", "PEM file with the private key of the certificate",
		files(func(p *Profile) *[]file { return &p.src.key }, true)},
	{"ca", "none", "PEM file with the authorities whose certificates are believed, or files",
		files(func(p *Profile) *[]file { return &p.src.ca }, false)},
	{"crl", "none", "file with revocation lists of these authorities, PEM or DER, or files; nothing is fetched",
		files(func(p *Profile) *[]file { return &p.src.crl }, false)},
	{"crl-policy", "lenient", "`lenient` goes by the list there is, however old; `strict` refuses every peer whose issuer has no current list",
		custom(either(crlPolicies), text, setCRLPolicy, getCRLPolicy)},
	{"identity", "the underlay address; with a certificate its first DNS name, else its subject", "what we call ourselves: an address, a name, a@b, a DN such as `CN=hub, O=Acme`, or `keyid:` and a word",
		custom("identity", text, setIdentity, func(p *Profile) string { return p.src.identity })},
	{"peers", "everybody with a proof", "who may be a peer: identities, or `*.example.com`, `*@example.com`, 10.0.0.0/8, `CN=*, O=Acme`",
		patterns(func(p *Profile) *[]auth.Pattern { return &p.IKE.Peers })},
	{"bind", "any", "which tunnel addresses an identity may claim; the first entry that is for a peer holds",
		objects(bindKeys, ike.Binding{}, func(p *Profile) *[]ike.Binding { return &p.IKE.Bindings }, func(b *ike.Binding) string { return b.Peer.String() })},
	{"ppk", "none", "post-quantum pre-shared keys, RFC 8784: a secret beside the authentication that keeps recorded traffic from being read once X25519 falls",
		objects(ppkKeys, ppk{}, func(p *Profile) *[]ppk { return &p.src.ppks }, func(k *ppk) string { return k.id })},
	{"ppk-required", "false", "refuse peers that have no PPK in common",
		truth(func(p *Profile) *bool { return &p.IKE.NeedPPK })},
	{"ike", suiteDefault, "suites of IKE SAs in order of preference, such as `aes256gcm-sha384-x25519-mlkem768`: encryption, then hash, PRF, key exchange, each once or more. `default` stands for ours, hybrid ML-KEM first",
		suites(func(p *Profile) *[]string { return &p.src.ike }, suite.ParseIKEPolicy)},
	{"esp", suiteDefault, "suites of ESP, such as `aes256gcm` or `aes256-sha256-modp2048`: with a key exchange each rekey makes fresh secrets (PFS)",
		suites(func(p *Profile) *[]string { return &p.src.esp }, suite.ParseChildPolicy)},
	{"mode", "transport", "of ESP: `transport`, `tunnel` with one more IP header, or `auto`: transport, and tunnel where the peer refuses",
		choice([]string{"transport", "tunnel", "auto"}, []ike.Mode{ike.Transport, ike.TunnelMode, ike.AutoMode}, func(p *Profile) *ike.Mode { return &p.IKE.Mode })},
	{"ike-lifetime", printDuration(ike.DefaultIKELifetime), "until the keys of IKE change",
		duration(minLifetime, maxLifetime, func(p *Profile) *time.Duration { return &p.IKE.IKELifetime })},
	{"esp-lifetime", printDuration(ike.DefaultESPLifetime), "until the keys of ESP change",
		duration(minLifetime, maxLifetime, func(p *Profile) *time.Duration { return &p.IKE.ESPLifetime })},
	{"esp-bytes", "0", "octets after which the keys of ESP change; 0 is as many as the algorithm allows",
		count(0, math.MaxInt64, func(p *Profile) *uint64 { return &p.IKE.ESPBytes })},
	{"esp-packets", "0", "packets after which the keys of ESP change; 0 is as many as the algorithm allows",
		count(0, math.MaxInt64, func(p *Profile) *uint64 { return &p.IKE.ESPPackets })},
	{"dpd", printDuration(ike.DefaultDPD), "silence after which a peer is asked whether it lives; 0 is never",
		duration(0, time.Hour, func(p *Profile) *time.Duration { return &p.IKE.DPD })},
	{"mobike", "true", "keep SAs when an address changes, RFC 4555",
		truth(func(p *Profile) *bool { return &p.IKE.MOBIKE })},
	{"fragmentation", strconv.Itoa(ike.DefaultFragmentSize), "octets above which IKE cuts its packets, RFC 7383, the IP header included; 0 is never",
		custom("0 or 576 to 65535", number, setFragmentation, func(p *Profile) string { return strconv.Itoa(p.IKE.FragmentSize) })},
	{"allow-sha1", "false", "believe RSA signatures with SHA-1, of peers that do not speak RFC 7427",
		truth(func(p *Profile) *bool { return &p.IKE.AllowSHA1 })},
	{"path-mtu-discovery", "true", "find what fits on the way to each peer, RFC 8899",
		truth(func(p *Profile) *bool { return &p.IKE.DiscoverMTU })},
}

var pskKeys = section[peerSecret]{
	{"peer", "everybody", "whom it is shared with, as under peers",
		pattern(func(s *peerSecret) *auth.Pattern { return &s.peer })},
	{"psk", "none", "the key",
		secretHere("text", peerSecretAt, anything)},
	{"psk-file", "none", "file with the key",
		secretFile(peerSecretAt, anything)},
}

var bindKeys = section[ike.Binding]{
	{"peer", required, "whom it is for, as under peers",
		pattern(func(b *ike.Binding) *auth.Pattern { return &b.Peer })},
	{"addresses", required, "prefixes; a tunnel address must lie in one of them",
		prefixes(func(b *ike.Binding) *[]netip.Prefix { return &b.Addresses })},
}

var ppkKeys = section[ppk]{
	{"id", required, "its name, which peers tell each other",
		word("text", func(k *ppk) *string { return &k.id }, anything)},
	{"secret", "none", "the key; 32 random octets or more",
		secretHere("text", ppkAt, anything)},
	{"secret-file", "none", "file with the key",
		secretFile(ppkAt, anything)},
}

// Bounds of lifetimes: shorter ones are for tests, longer ones for nobody.
const (
	minLifetime = 10 * time.Second
	maxLifetime = 7 * 24 * time.Hour
)
