package ike

import (
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// An SA that the data plane has no keys of carries nothing, whatever both ends believe. It does not stay so until its lifetime
// ends; nor do the ends begin again as fast as they can while it goes on.
func TestKeysThatTheDataPlaneRefuses(t *testing.T) {
	for _, c := range []struct {
		name      string
		responder bool
		out       bool
	}{{"what the initiator receives by", false, false}, {"what the initiator sends by", false, true},
		{"what the responder receives by", true, false}, {"what the responder sends by", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := met(t)
			bad := a
			if c.responder {
				bad = b
			}
			refused, times := map[uint32]bool{}, 0
			refuse := func() {
				k := bad.child()
				f := dataplane.Failed{Doing: "install", Err: "its place is taken", SA: k.sa.peer.handle, SPI: k.spi, Out: c.out}
				if c.out {
					f.SPI = k.peerSPI
				}
				if !refused[k.spi] && k.sa.peer.active == k {
					refused[k.spi] = true
					times++
					bad.post(f)
					bad.run()
				}
			}
			refuse()
			w.pass(5 * time.Second)
			w.mustPass(a, b)
			if bad.child(); times != 1 || refused[bad.child().spi] {
				t.Fatalf("after one refusal the child is what it was")
			}
			if all := strings.Join(bad.logs, "\n"); !strings.Contains(all, "its place is taken") {
				t.Errorf("nobody says why: %s", all)
			}
			for end := w.now + 5*time.Minute; w.now < end; w.pass(time.Second) {
				if s := len(bad.module.sas); s > 0 && len(bad.module.children) == 1 {
					refuse()
				}
			}
			if times < 4 || times > 12 {
				t.Errorf("%d attempts in five minutes", times)
			}
			w.pass(2 * lastRetry)
			w.mustPass(a, b)
		})
	}
}

// What the data plane says of a handle or a child that is gone meanwhile changes nothing.
func TestARefusalOfKeysThatAreGone(t *testing.T) {
	w, a, b := met(t)
	before := a.child().spi
	for _, f := range []dataplane.Failed{
		{SA: 999, SPI: before}, {SA: a.child().sa.peer.handle, SPI: 1}, {SA: a.child().sa.peer.handle, SPI: before, Out: true},
	} {
		a.post(f)
		a.run()
	}
	w.pass(5 * time.Second)
	w.mustPass(a, b)
	if a.child().spi != before {
		t.Error("the child was closed")
	}
}
