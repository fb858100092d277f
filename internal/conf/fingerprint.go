package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Fingerprint is the same for two profiles of the same content, that of their files included, and different for others.
// It tells nothing of the secrets.
func (p Profile) Fingerprint() string {
	h := sha256.New()
	profileKeys.write(&p).hash(h)
	return hex.EncodeToString(h.Sum(nil))
}

func (n *node) hash(h hash.Hash) {
	if n == nil {
		return
	}
	fmt.Fprintf(h, "%d %q %q %q(", n.kind, n.text, n.label, n.hidden)
	for _, p := range n.pairs {
		fmt.Fprintf(h, "%q:", p.key)
		p.value.hash(h)
	}
	for _, i := range n.items {
		i.hash(h)
	}
	fmt.Fprint(h, ")")
}
