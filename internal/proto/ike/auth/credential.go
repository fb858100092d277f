package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Credential is our certificate, the chain to send with it, and its key.
type Credential struct {
	Chain     [][]byte // DER, our own certificate first
	Key       crypto.Signer
	PSS       bool // sign with RSASSA-PSS rather than PKCS#1 v1.5, which more peers verify
	AllowSHA1 bool // sign with SHA-1 for peers from before RFC 7427; RSA only

	leaf *x509.Certificate
}

// LoadCredential reads a certificate, with the chain above it if there is one, and its private key from PEM. The
// certificate that the key belongs to is ours, wherever in the file it is.
func LoadCredential(certPEM, keyPEM []byte) (*Credential, error) {
	key, err := loadKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	certs, err := loadCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	own := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return samePublic(c.PublicKey, key.Public()) })
	if own < 0 {
		return nil, mismatch(certs[0], key)
	}
	if err := checkKey(key.Public()); err != nil {
		return nil, refuse(WeakKey, certs[own], "%v", err)
	}
	if len(names(certs[own])) == 0 {
		return nil, refuse(WrongIdentity, certs[own], "it names nobody: neither a subject nor an alternative name that can be an identity")
	}
	c := &Credential{Key: key, leaf: certs[own], Chain: [][]byte{certs[own].Raw}}
	for i, above := range certs {
		if i != own {
			c.Chain = append(c.Chain, above.Raw)
		}
	}
	if len(c.Chain) > maxChain {
		return nil, fmt.Errorf("certificate file holds %d certificates: the certificate and its chain are at most %d", len(c.Chain), maxChain)
	}
	return c, nil
}

// Check is whether the certificate serves at a time: validity and usage. A peer would refuse what fails here.
func (c *Credential) Check(now time.Time) error {
	if err := checkValidity(c.leaf, now); err != nil {
		return err
	}
	return checkLeafUsage(c.leaf)
}

// Expires is when the certificate ends.
func (c *Credential) Expires() time.Time { return c.leaf.NotAfter }

// Identities are the names in the certificate that may be sent as ours: FQDNs, e-mail addresses, addresses, the subject;
// at least one.
func (c *Credential) Identities() []Identity { return names(c.leaf) }

// Holds is whether a peer that checks as we do would find id in the certificate.
func (c *Credential) Holds(id Identity) error { return bind(c.leaf, id, false) }

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func mismatch(c *x509.Certificate, key crypto.Signer) error {
	return fmt.Errorf("certificate of %s has another key than the private key (%s): they do not belong together", Subject(c), keyWord(key.Public()))
}

// loadKey reads the one private key of a PEM file: PKCS#8, PKCS#1 or SEC 1. Its errors never quote what it read.
func loadKey(data []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(data)
	if err != nil {
		return nil, err
	}
	blocks = slices.DeleteFunc(blocks, func(b *pem.Block) bool { return b.Type == "EC PARAMETERS" }) // openssl ecparam -genkey writes them
	i := slices.IndexFunc(blocks, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") })
	if i < 0 {
		return nil, fmt.Errorf("no private key in the file, but %s", article(blocks[0].Type))
	}
	return parseKey(blocks[i])
}

func parseKey(b *pem.Block) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("it is encrypted, and nobody is here to give the passphrase: decrypt it (openssl pkey -in FILE -out NEW) and protect the file by its mode")
	}
	var key any
	var err error
	switch b.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("%q is not supported: RSA, ECDSA and Ed25519 are", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged or of an unsupported kind (RSA, ECDSA on P-256, P-384 or P-521, and Ed25519 are supported)", article(b.Type))
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign: it is for key agreement only")
	}
	return signer, nil
}

// loadCertificates reads all certificates of a PEM file, of which there must be one.
func loadCertificates(data []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(data)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	var out []*x509.Certificate
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file is damaged: %s", len(out)+1, shorten(printable(err.Error())))
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("certificate: none in the file, but %s", article(blocks[0].Type))
	}
	return out, nil
}

// pemBlocks reads all blocks and refuses a file in which one is cut or damaged, where encoding/pem would skip it.
func pemBlocks(data []byte) ([]*pem.Block, error) {
	begun := strings.Count("\n"+string(data), "\n-----BEGIN ")
	var blocks []*pem.Block
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	switch {
	case len(strings.TrimSpace(string(data))) == 0:
		return nil, errors.New("the file is empty")
	case begun > len(blocks):
		return nil, fmt.Errorf("the file is cut short or damaged: of %d PEM blocks that begin, %d are whole", begun, len(blocks))
	case len(blocks) == 0 && data[0] == 0x30:
		return nil, errors.New("the file is DER or PKCS#12, not PEM: convert it with openssl")
	case len(blocks) == 0:
		return nil, errors.New("the file has no PEM block (-----BEGIN ...)")
	}
	return blocks, nil
}

// article is what a PEM block of a type is called.
func article(pemType string) string {
	word := strings.ToLower(printable(pemType))
	if word != "" && strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + shorten(word)
	}
	return "a " + shorten(word)
}
