package suite

import (
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// TestDefaultsMeet: two routers with the defaults agree on the hybrid suite.
func TestDefaultsMeet(t *testing.T) {
	offer := OfferIKE(DefaultIKE(), nil)
	chosen, answer, err := ChooseIKE(offer, DefaultIKE(), X25519)
	if err != nil || chosen.String() != "aes256gcm-sha384-x25519-mlkem768" {
		t.Fatalf("chosen %v: %v", chosen, err)
	}
	checked, err := CheckIKE(&wire.SA{Proposals: []wire.Proposal{answer}}, DefaultIKE())
	if err != nil || checked.String() != chosen.String() {
		t.Fatalf("checked %v: %v", checked, err)
	}
	for _, withKE := range []bool{true, false} {
		child := OfferChild(DefaultChild(), 0x1234, withKE)
		c, spi, answer, err := ChooseChild(child, DefaultChild(), withKE, NoGroup)
		if err != nil || spi != 0x1234 {
			t.Fatalf("child %v spi %x: %v", c, spi, err)
		}
		answer.SPI = []byte{0, 0, 2, 0}
		d, spi, err := CheckChild(&wire.SA{Proposals: []wire.Proposal{answer}}, DefaultChild(), withKE)
		if err != nil || spi != 0x200 || d.String() != c.String() {
			t.Fatalf("checked child %v: %v", d, err)
		}
		t.Log(c)
	}
}
