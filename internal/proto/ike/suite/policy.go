package suite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// EncryptionChoice is an encryption algorithm with its key length.
type EncryptionChoice struct {
	Encryption esp.Encryption
	KeyBits    int
}

// Policy is what we offer and accept together, each list in order of preference.
type Policy struct {
	Encryptions []EncryptionChoice
	Integrities []esp.Integrity // go with CBC; an AEAD has none
	PRFs        []PRF           // of an IKE SA
	Groups      []Group         // of a Child SA: NoGroup allows to go without
	Additional  [][]Group       // choices for ADDKE1, ADDKE2, ... (RFC 9370); NoGroup allows to go without
	ESN         []bool          // of a Child SA
}

// maxAdditional is how many transform types RFC 9370 has for additional key exchanges.
const maxAdditional = 7

// ParseIKEPolicy reads what an IKE SA may use, in words with hyphens between them: "aes256gcm-sha384-x25519-mlkem768".
// A hash is the PRF, and with CBC the integrity as well; "prfsha384" is the PRF alone. ML-KEM beside a Diffie-Hellman
// group is the additional key exchange; "ke2_p384" names another by its number.
func ParseIKEPolicy(text string) (Policy, error) {
	d, err := parsePolicy(text)
	if err == nil {
		err = d.finishIKE()
	}
	if err != nil {
		return Policy{}, fmt.Errorf("ike proposal %q: %w", text, err)
	}
	return d.Policy, nil
}

// ParseChildPolicy reads what a Child SA may use, as "aes256gcm-x25519-none" or "aes128-sha256-esn". "none" among key
// exchanges allows to go without; an additional key exchange is refused. "esn" and "noesn" order sequence numbers of 64
// and 32 bits, both when neither is said.
func ParseChildPolicy(text string) (Policy, error) {
	d, err := parsePolicy(text)
	if err == nil {
		err = d.finishChild()
	}
	if err != nil {
		return Policy{}, fmt.Errorf("esp proposal %q: %w", text, err)
	}
	return d.Policy, nil
}

// draft is a policy being read.
type draft struct {
	Policy
	hashes []string
}

func parsePolicy(text string) (draft, error) {
	var d draft
	for word := range strings.SplitSeq(text, "-") {
		if err := d.add(word); err != nil {
			return d, err
		}
	}
	if len(d.Encryptions) == 0 {
		return d, fmt.Errorf("no encryption is named; aes256gcm would be one")
	}
	return d, d.placeKEMs()
}

func (d *draft) add(word string) error {
	if e, ok := find(encryptionNames, word); ok {
		return appendNew(&d.Encryptions, e, word)
	}
	if _, ok := find(integrityNames, word); ok {
		return appendNew(&d.hashes, word, word)
	}
	if hash, ok := strings.CutPrefix(word, "prf"); ok {
		if prf, ok := find(prfNames, hash); ok {
			return appendNew(&d.PRFs, prf, word)
		}
	}
	switch {
	case word == "esn" || word == "noesn":
		return appendNew(&d.ESN, word == "esn", word)
	case strings.HasPrefix(word, "ke") && strings.Contains(word, "_"):
		return d.addAdditional(word)
	}
	g, err := ParseGroup(word)
	if err != nil {
		return fmt.Errorf("%q is no algorithm that we have", word)
	}
	return appendNew(&d.Groups, g, word)
}

// addAdditional reads "ke1_mlkem768".
func (d *draft) addAdditional(word string) error {
	number, group, _ := strings.Cut(strings.TrimPrefix(word, "ke"), "_")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxAdditional {
		return fmt.Errorf("%q: additional key exchanges are ke1_ to ke%d_", word, maxAdditional)
	}
	g, err := ParseGroup(group)
	if err != nil {
		return err
	}
	for len(d.Additional) < n {
		d.Additional = append(d.Additional, nil)
	}
	return appendNew(&d.Additional[n-1], g, word)
}

func appendNew[T comparable](list *[]T, value T, word string) error {
	if slices.Contains(*list, value) {
		return fmt.Errorf("%q is named twice", word)
	}
	*list = append(*list, value)
	return nil
}

// placeKEMs makes ML-KEM the additional key exchange where a Diffie-Hellman group is named beside it.
func (d *draft) placeKEMs() error {
	classical := func(g Group) bool { return g != NoGroup && !g.postQuantum() }
	if slices.ContainsFunc(d.Groups, classical) {
		all := d.Groups
		d.Groups = nil
		for _, g := range all {
			if !g.postQuantum() {
				d.Groups = append(d.Groups, g)
			} else if err := d.addAdditional("ke1_" + g.String()); err != nil {
				return err
			}
		}
	}
	for i, list := range d.Additional {
		if len(list) == 0 {
			return fmt.Errorf("ke%d is left out between others", i+1)
		}
	}
	return nil
}

// hasCBC tells whether an encryption is named that needs an integrity algorithm.
func (p Policy) hasCBC() bool {
	return slices.ContainsFunc(p.Encryptions, func(e EncryptionChoice) bool { return !aead(e.Encryption) })
}

func (d *draft) finishIKE() error {
	switch {
	case len(d.ESN) > 0:
		return fmt.Errorf("an IKE SA has no extended sequence numbers")
	case len(d.Groups) == 0 || slices.Contains(d.Groups, NoGroup):
		return fmt.Errorf("an IKE SA needs a key exchange; x25519 would be one")
	case d.hasCBC() && len(d.hashes) == 0:
		return fmt.Errorf("cbc needs an integrity algorithm; sha256 would be one")
	case !d.hasCBC() && len(d.hashes) > 0 && len(d.PRFs) > 0:
		return fmt.Errorf("gcm and chacha20poly1305 have no integrity algorithm: name the prf alone")
	}
	d.placeHashes()
	if len(d.PRFs) == 0 {
		return fmt.Errorf("an IKE SA needs a prf; sha256 would be one")
	}
	return nil
}

func (d *draft) finishChild() error {
	switch {
	case len(d.PRFs) > 0:
		return fmt.Errorf("a Child SA has no prf of its own")
	case d.hasCBC() && len(d.hashes) == 0:
		return fmt.Errorf("cbc needs an integrity algorithm; sha256 would be one")
	case !d.hasCBC() && len(d.hashes) > 0:
		return fmt.Errorf("gcm and chacha20poly1305 have no integrity algorithm")
	case len(d.Additional) > 0:
		// They would come in IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4). To read the words and not do it would be a false
		// promise; and SK_d, which the keys are made from, has the additional key exchanges of the IKE SA in it.
		return fmt.Errorf("a Child SA has no additional key exchange; that of the IKE SA protects it as well")
	}
	d.placeHashes()
	d.PRFs = nil
	if len(d.ESN) == 0 {
		d.ESN = []bool{true, false}
	}
	return nil
}

// placeHashes makes the hashes the integrity algorithms of CBC, and the PRFs where none is named.
func (d *draft) placeHashes() {
	named := len(d.PRFs) > 0
	for _, word := range d.hashes {
		i, _ := find(integrityNames, word)
		prf, _ := find(prfNames, word)
		if d.hasCBC() {
			d.Integrities = append(d.Integrities, i)
		}
		if !named {
			d.PRFs = append(d.PRFs, prf)
		}
	}
}

// String is p in the words that it is read from.
func (p Policy) String() string {
	var words []string
	for _, e := range p.Encryptions {
		words = append(words, e.String())
	}
	words = append(words, p.hashWords()...)
	for _, g := range p.Groups {
		words = append(words, g.String())
	}
	words = append(words, p.additionalWords()...)
	if len(p.ESN) == 1 || len(p.ESN) > 1 && !p.ESN[0] {
		for _, esn := range p.ESN {
			words = append(words, esnWord(esn))
		}
	}
	return strings.Join(words, "-")
}

func esnWord(esn bool) string {
	if esn {
		return "esn"
	}
	return "noesn"
}

func (p Policy) hashWords() []string {
	var integrity, prf []string
	for _, i := range p.Integrities {
		integrity = append(integrity, i.String())
	}
	for _, f := range p.PRFs {
		prf = append(prf, strings.TrimPrefix(f.String(), "prf"))
	}
	switch {
	case !p.hasCBC():
		return prf
	case len(prf) == 0 || slices.Equal(integrity, prf):
		return integrity
	}
	for i := range prf {
		prf[i] = "prf" + prf[i]
	}
	return append(integrity, prf...)
}

// additionalWords leaves out the number where ML-KEM follows a Diffie-Hellman group.
func (p Policy) additionalWords() []string {
	var words []string
	for i, list := range p.Additional {
		plain := i == 0 && !slices.ContainsFunc(p.Groups, Group.postQuantum) &&
			!slices.ContainsFunc(list, func(g Group) bool { return !g.postQuantum() })
		for _, g := range list {
			word := g.String()
			if !plain {
				word = fmt.Sprintf("ke%d_%v", i+1, g)
			}
			words = append(words, word)
		}
	}
	return words
}

// Weak says which algorithms of p are no longer recommended (RFC 8247, RFC 8221), and why, one sentence each.
func (p Policy) Weak() []string {
	var why []string
	for _, i := range p.Integrities {
		if i == esp.HMACSHA1 {
			why = append(why, "sha1 as integrity: 96 bits of a hash that is broken for signatures; use sha256")
		}
	}
	for _, f := range p.PRFs {
		if f == PRFHMACSHA1 {
			why = append(why, "sha1 as prf: use sha256")
		}
	}
	for _, g := range slices.Concat(append([][]Group{p.Groups}, p.Additional...)...) {
		switch g {
		case MODP1024:
			why = append(why, "modp1024: well-funded attackers are thought to read it (Logjam); use x25519, p256 or modp2048")
		case MODP1536:
			why = append(why, "modp1536: less than 112 bits of strength; use x25519, p256 or modp2048")
		}
	}
	return why
}

// DefaultIKE is what IKE SAs use unless configured: hybrid first, which two of us agree on, then wide.
func DefaultIKE() []Policy {
	return must(ParseIKEPolicy,
		"aes256gcm-sha384-x25519-mlkem768",
		"aes256gcm-aes128gcm-chacha20poly1305-sha384-sha256-sha512-x25519-p256-p384-p521-modp3072-modp4096-modp2048",
		"aes256-aes128-sha256-sha384-sha512-x25519-p256-p384-p521-modp3072-modp4096-modp2048")
}

// DefaultChild is what Child SAs use unless configured. With a key exchange of their own when the peer agrees. Their
// keys come from SK_d, so between two of us they are as hybrid as the IKE SA.
func DefaultChild() []Policy {
	return must(ParseChildPolicy,
		"aes256gcm-aes128gcm-chacha20poly1305-x25519-p256-p384-p521-modp3072-modp4096-modp2048-none",
		"aes256-aes128-sha256-sha384-sha512-x25519-p256-p384-p521-modp3072-modp4096-modp2048-none")
}

func must(parse func(string) (Policy, error), texts ...string) []Policy {
	var ps []Policy
	for _, text := range texts {
		p, err := parse(text)
		if err != nil {
			panic(err)
		}
		ps = append(ps, p)
	}
	return ps
}
