package wire

import "strconv"

// transformKinds are the short names of the transform types.
var transformKinds = map[TransformType]string{
	TransformENCR: "encr", TransformPRF: "prf", TransformINTEG: "integ", TransformKE: "ke", TransformESN: "esn",
	AddKE1: "addke1", AddKE2: "addke2", AddKE3: "addke3", AddKE4: "addke4", AddKE5: "addke5", AddKE6: "addke6", AddKE7: "addke7",
}

// transformNames are the ids that one meets, by IANA's registry of transforms; a trace shows the others as numbers.
var transformNames = map[TransformType]map[uint16]string{
	TransformENCR: {3: "3des", 11: "null", 12: "aes-cbc", 13: "aes-ctr", 18: "aes-gcm-8", 19: "aes-gcm-12", 20: "aes-gcm",
		28: "chacha20-poly1305"},
	TransformPRF:   {1: "md5", 2: "sha1", 4: "aes-xcbc", 5: "sha256", 6: "sha384", 7: "sha512"},
	TransformINTEG: {0: "none", 1: "md5-96", 2: "sha1-96", 5: "aes-xcbc-96", 12: "sha256-128", 13: "sha384-192", 14: "sha512-256"},
	TransformKE: {0: "none", 1: "modp768", 2: "modp1024", 5: "modp1536", 14: "modp2048", 15: "modp3072", 16: "modp4096",
		17: "modp6144", 18: "modp8192", 19: "p256", 20: "p384", 21: "p521", 31: "x25519", 32: "x448", 35: "mlkem512",
		36: "mlkem768", 37: "mlkem1024"},
	TransformESN: {0: "no", 1: "yes"},
}

// String is the transform in the way of "encr:aes-gcm-256" and "ke:x25519".
func (t Transform) String() string {
	kind, known := transformKinds[t.Type]
	if !known {
		kind = "type" + strconv.Itoa(int(t.Type))
	}
	text := kind + ":" + t.name()
	if t.KeyBits != 0 {
		text += "-" + strconv.Itoa(t.KeyBits)
	}
	if t.Unknown {
		text += "+unknown"
	}
	return text
}

func (t Transform) name() string {
	kind := t.Type
	if kind >= AddKE1 && kind <= AddKE7 {
		kind = TransformKE // RFC 9370 section 2.2.1: the same ids
	}
	if name, known := transformNames[kind][t.ID]; known {
		return name
	}
	return strconv.Itoa(int(t.ID))
}
