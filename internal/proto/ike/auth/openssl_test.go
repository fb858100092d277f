package auth

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"
)

// openssl reads a file that testdata/openssl/make has made.
func openssl(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/openssl/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func der(t *testing.T, name string) []byte {
	t.Helper()
	certs, err := loadCertificates(openssl(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return certs[0].Raw
}

// TestOpenSSL: certificates, a revocation list, names and signatures that another implementation has made.
func TestOpenSSL(t *testing.T) {
	trust := mustTrust(t, [][]byte{openssl(t, "root.pem")}, nil, [][]byte{openssl(t, "sub.crl")})
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	chain := [][]byte{der(t, "hub.pem"), der(t, "sub.pem")}
	subject := strings.TrimSpace(string(openssl(t, "hub.subject")))
	for _, id := range []string{"hub.example.com", "192.0.2.1", "2001:db8::1", "ops@example.com", subject} {
		leaf, err := trust.Check(chain, mustID(t, id), at)
		if err != nil {
			t.Fatal(id, err)
		}
		got := Identity{DN, string(leaf.RawSubject)}.String()
		if want := strings.NewReplacer(",OU", ", OU", ",O=", ", O=", ",C=", ", C=").Replace(subject); got != want {
			t.Errorf("subject prints as %s, OpenSSL prints %s", got, subject)
		}
	}
	_, err := trust.Check([][]byte{der(t, "gone.pem"), der(t, "sub.pem")}, mustID(t, "hub.example.com"), at)
	wantReason(t, "revoked", err, Revoked, "its key is in other hands")
	for _, tt := range []struct{ cert, file, scheme string }{
		{"hub.pem", "hub.pkcs1", "RSA PKCS#1 v1.5 with SHA2-256"},
		{"hub.pem", "hub.pss", "RSASSA-PSS with SHA2-384"},
		{"sub.pem", "sub.ecdsa", "ECDSA with SHA2-384"},
		{"gone.pem", "gone.ed25519", "Ed25519"},
	} {
		leaf, err := x509.ParseCertificate(der(t, tt.cert))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range schemes {
			data := append([]byte{byte(len(s.blobs[0]))}, s.blobs[0]...)
			err := Verify(leaf, MethodSignature, append(data, openssl(t, tt.file)...), []byte("octets"), Options{})
			if (err == nil) != (s.name == tt.scheme) {
				t.Errorf("%s as %s: %v", tt.file, s.name, err)
			}
		}
	}
}
