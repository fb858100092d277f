package suite

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// name is a word for an algorithm. Where a value has several, the first is how it is printed.
type name[T comparable] struct {
	word  string
	value T
}

func find[T comparable](names []name[T], word string) (T, bool) {
	i := slices.IndexFunc(names, func(n name[T]) bool { return n.word == word })
	if i < 0 {
		var none T
		return none, false
	}
	return names[i].value, true
}

func wordOf[T comparable](names []name[T], value T) (string, bool) {
	i := slices.IndexFunc(names, func(n name[T]) bool { return n.value == value })
	if i < 0 {
		return "", false
	}
	return names[i].word, true
}

var encryptionNames = []name[EncryptionChoice]{
	{"aes128gcm", EncryptionChoice{esp.AESGCM, 128}},
	{"aes192gcm", EncryptionChoice{esp.AESGCM, 192}},
	{"aes256gcm", EncryptionChoice{esp.AESGCM, 256}},
	{"chacha20poly1305", EncryptionChoice{esp.ChaCha20Poly1305, 256}},
	{"aes128", EncryptionChoice{esp.AESCBC, 128}},
	{"aes192", EncryptionChoice{esp.AESCBC, 192}},
	{"aes256", EncryptionChoice{esp.AESCBC, 256}},
	{"aes128gcm16", EncryptionChoice{esp.AESGCM, 128}},
	{"aes192gcm16", EncryptionChoice{esp.AESGCM, 192}},
	{"aes256gcm16", EncryptionChoice{esp.AESGCM, 256}},
}

var integrityNames = []name[esp.Integrity]{
	{"sha1", esp.HMACSHA1},
	{"sha256", esp.HMACSHA256},
	{"sha384", esp.HMACSHA384},
	{"sha512", esp.HMACSHA512},
}

var prfNames = []name[PRF]{
	{"sha1", PRFHMACSHA1},
	{"sha256", PRFHMACSHA256},
	{"sha384", PRFHMACSHA384},
	{"sha512", PRFHMACSHA512},
}

var groupNames = []name[Group]{
	{"none", NoGroup},
	{"modp1024", MODP1024},
	{"modp1536", MODP1536},
	{"modp2048", MODP2048},
	{"modp3072", MODP3072},
	{"modp4096", MODP4096},
	{"p256", P256},
	{"p384", P384},
	{"p521", P521},
	{"x25519", X25519},
	{"mlkem512", MLKEM512},
	{"mlkem768", MLKEM768},
	{"mlkem1024", MLKEM1024},
	{"ecp256", P256},
	{"ecp384", P384},
	{"ecp521", P521},
	{"curve25519", X25519},
}

// String is the word for g, as "x25519".
func (g Group) String() string {
	if word, ok := wordOf(groupNames, g); ok {
		return word
	}
	return "group " + strconv.Itoa(int(g))
}

// ParseGroup reads the word for a key exchange that is available, or "none".
func ParseGroup(word string) (Group, error) {
	g, ok := find(groupNames, word)
	if !ok {
		return NoGroup, fmt.Errorf("%q is no key exchange", word)
	}
	if g != NoGroup && !g.Available() {
		return NoGroup, g.unavailable()
	}
	return g, nil
}

// String is the word for p, as "prfsha256".
func (p PRF) String() string {
	if word, ok := wordOf(prfNames, p); ok {
		return "prf" + word
	}
	return "prf " + strconv.Itoa(int(p))
}

// String is the word for e, as "aes256gcm".
func (e EncryptionChoice) String() string {
	if word, ok := wordOf(encryptionNames, e); ok {
		return word
	}
	return fmt.Sprintf("encryption %d of %d bits", e.Encryption, e.KeyBits)
}

// String is s in the words of [ParseIKEPolicy].
func (s IKE) String() string {
	p := Policy{
		Encryptions: []EncryptionChoice{{s.Encryption, s.KeyBits}},
		PRFs:        []PRF{s.PRF},
		Groups:      []Group{s.Group},
		Additional:  each(s.Additional),
	}
	if s.Integrity != esp.NoIntegrity {
		p.Integrities = []esp.Integrity{s.Integrity}
	}
	return p.String()
}

// String is c in the words of [ParseChildPolicy].
func (c Child) String() string {
	p := Policy{
		Encryptions: []EncryptionChoice{{c.Encryption, c.KeyBits}},
		Additional:  each(c.Additional),
		ESN:         []bool{c.ESN},
	}
	if c.Integrity != esp.NoIntegrity {
		p.Integrities = []esp.Integrity{c.Integrity}
	}
	if c.Group != NoGroup {
		p.Groups = []Group{c.Group}
	}
	return p.String()
}

// each is a list of single choices.
func each(groups []Group) [][]Group {
	var lists [][]Group
	for _, g := range groups {
		lists = append(lists, []Group{g})
	}
	return lists
}
