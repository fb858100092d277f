package ike

import (
	"encoding/hex"
	"fmt"

	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// Keys in the files that Wireshark reads, for laboratories: nothing is written unless somebody asked for it.
const (
	IKEKeys = "ikev2_decryption_table"
	ESPKeys = "esp_sa"
)

// ExportKeys gives f a line for each set of keys, and the file of Wireshark's that it belongs to. It is for laboratories:
// who has the lines can read all traffic.
func (m *Module) ExportKeys(f func(file, line string)) { m.keylog = f }

func (s *sa) exportIKE() {
	encryption := ikeEncryption(s.suite)
	if s.m.keylog == nil || encryption == "" {
		return
	}
	spii, spir := s.spi, s.peerSPI
	if !s.initiator {
		spii, spir = spir, spii
	}
	k := s.keys
	s.m.keylog(IKEKeys, fmt.Sprintf("%016x,%016x,%x,%x,%q,%x,%x,%q", spii, spir, k.Ei, k.Er, encryption, k.Ai, k.Ar, ikeIntegrity[s.suite.Integrity]))
}

func ikeEncryption(s suite.IKE) string {
	switch s.Encryption {
	case esp.AESGCM:
		return fmt.Sprintf("AES-GCM-%d with 16 octet ICV [RFC5282]", s.KeyBits)
	case esp.AESCBC:
		return fmt.Sprintf("AES-CBC-%d [RFC3602]", s.KeyBits)
	}
	return "" // Wireshark has no name for the others
}

var ikeIntegrity = map[esp.Integrity]string{
	esp.NoIntegrity: "NONE [RFC4306]", esp.HMACSHA1: "HMAC_SHA1_96 [RFC2404]", esp.HMACSHA256: "HMAC_SHA2_256_128 [RFC4868]",
	esp.HMACSHA384: "HMAC_SHA2_384_192 [RFC4868]", esp.HMACSHA512: "HMAC_SHA2_512_256 [RFC4868]",
}

var espEncryption = map[esp.Encryption]string{
	esp.AESGCM: "AES-GCM with 16 octet ICV [RFC4106]", esp.AESCBC: "AES-CBC [RFC3602]",
}

var espIntegrity = map[esp.Integrity]string{
	esp.NoIntegrity: "NULL", esp.HMACSHA1: "HMAC-SHA-1-96 [RFC2404]", esp.HMACSHA256: "HMAC-SHA-256-128 [RFC4868]",
	esp.HMACSHA384: "HMAC-SHA-384-192 [RFC4868]", esp.HMACSHA512: "HMAC-SHA-512-256 [RFC4868]",
}

func (s *sa) exportESP(spi uint32, c suite.Child, k esp.Keys) {
	encryption := espEncryption[c.Encryption]
	if s.m.keylog == nil || encryption == "" {
		return
	}
	family, integrity := "IPv4", ""
	if s.remote.Addr().Is6() {
		family = "IPv6"
	}
	if len(k.Integrity) > 0 {
		integrity = "0x" + hex.EncodeToString(k.Integrity)
	}
	s.m.keylog(ESPKeys, fmt.Sprintf("%q,\"*\",\"*\",\"0x%08x\",%q,\"0x%x\",%q,%q", family, spi, encryption, k.Encryption, espIntegrity[c.Integrity], integrity))
}
