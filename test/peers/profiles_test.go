package peers

import "github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"

// The protections that the cases choose from. What strongSwan shows of a child SA of each is in negotiated.
var (
	gcm = protection{
		name: "gcm", ike: "aes256gcm-sha384-x25519", esp: "aes256gcm-x25519",
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256gcm16-x25519-esn-noesn",
	}
	// Neither side says anything; we offer ML-KEM first, which strongSwan has only in places.
	defaults = protection{name: "defaults", theirIKE: "default", theirESP: "default"}
	cbc      = protection{
		name: "cbc", ike: "aes256-sha256-modp2048", esp: "aes256-sha256-modp2048", encapsulation: "esp",
		theirIKE: "aes256-sha256-modp2048", theirESP: "aes256-sha256-modp2048",
		profile: []string{"mobike: false"}, connection: []string{"mobike = no"},
	}
	tunnelled = protection{
		name: "tunnelled", ike: "aes128gcm-sha256-p256", esp: "aes128gcm", tunnel: true,
		theirIKE: "aes128gcm16-prfsha256-ecp256", theirESP: "aes128gcm16",
	}
	// What fills the tunnel's MTU does not fit into a packet of the underlay any more.
	tunnelledCBC = protection{
		name: "tunnelledcbc", ike: "aes128-sha512-p521", esp: "aes128-sha512", tunnel: true, cut: "outer",
		theirIKE: "aes128-sha512-ecp521", theirESP: "aes128-sha512", encapsulation: "esp",
	}
	chacha = protection{
		name: "chacha", ike: "chacha20poly1305-prfsha512-p384", esp: "chacha20poly1305-p384",
		theirIKE: "chacha20poly1305-prfsha512-ecp384", theirESP: "chacha20poly1305-ecp384",
	}
	// Our first guess of a group is one that strongSwan has not: INVALID_KE_PAYLOAD, RFC 7296 section 1.2.
	guess = protection{
		name: "guess", ike: "[aes256gcm-sha256-p256, aes256gcm-sha256-x25519]", esp: "aes256gcm",
		theirIKE: "aes256gcm16-prfsha256-x25519", theirESP: "aes256gcm16",
	}
	noESN = protection{
		name: "noesn", ike: "aes256gcm-sha384-x25519", esp: "aes256gcm-noesn",
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256gcm16-noesn",
	}
	withESN = protection{
		name: "esn", ike: "aes256gcm-sha384-x25519", esp: "aes256-sha256-esn",
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256-sha256-esn",
	}
	inUDP = protection{
		name: "inudp", ike: "aes256gcm-sha384-x25519", esp: "aes256gcm", encapsulation: "udp",
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256gcm16", connection: []string{"encap = yes"},
	}
	ecdsa = protection{
		name: "ecdsa", esp: "aes256gcm", certificate: true, key: authtest.P256,
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256gcm16",
	}
	// RSA certificates with the one between fill several datagrams: RFC 7383 in both directions.
	rsa = protection{
		name: "rsa", ike: "aes256-sha256-modp3072", esp: "aes256gcm", certificate: true, key: authtest.RSA3072,
		theirIKE: "aes256-sha256-modp3072", theirESP: "aes256gcm16",
		profile: []string{"fragmentation: 576"}, connection: []string{"fragmentation = force"},
	}
	ed25519 = protection{
		name: "ed25519", ike: "aes256gcm-sha512-x25519", esp: "aes256gcm", certificate: true, key: authtest.Ed25519,
		theirIKE: "aes256gcm16-prfsha512-x25519", theirESP: "aes256gcm16",
	}
	withPPK = protection{
		name: "ppk", ike: "aes256gcm-sha384-x25519", esp: "aes256gcm", ppk: true,
		theirIKE: "aes256gcm16-prfsha384-x25519", theirESP: "aes256gcm16",
	}
	hybrid = protection{
		name: "hybrid", ike: "aes256gcm-sha384-x25519-mlkem768", esp: "aes256gcm-x25519",
		theirIKE: "aes256gcm16-prfsha384-x25519-ke1_mlkem768", theirESP: "aes256gcm16-x25519",
	}
	hybridCBC = protection{
		name: "hybridcbc", ike: "aes256-sha384-p256-mlkem1024", esp: "aes256-sha256-p256",
		theirIKE: "aes256-sha384-ecp256-ke1_mlkem1024", theirESP: "aes256-sha256-ecp256",
	}
)

// with adds lines to our profile, strongSwan's connection and its child.
func (p protection) with(profile, connection, child []string) protection {
	p.profile = append(p.profile[:len(p.profile):len(p.profile)], profile...)
	p.connection = append(p.connection[:len(p.connection):len(p.connection)], connection...)
	p.child = append(p.child[:len(p.child):len(p.child)], child...)
	return p
}
