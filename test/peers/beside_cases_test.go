package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// FRR beside us, on one kernel: what its zebra writes into the kernel's table is our data plane's too, and what we
// write is zebra's.
func TestFRRBesideUs(t *testing.T) {
	s := newScene(t, "trixie")
	hub := s.spokeway(spec{name: "hub", site: 2, clients: []int{1}})[0]
	hub.run("ip", "address", "add", "4.4.4.1/32", "dev", "lo")
	hub.run("ip", "address", "add", "5.5.5.1/32", "dev", "lo")
	r1 := s.beside(spec{name: "r1", site: 1, servers: []server{{site: 2}}})
	zebra := r1.zebra
	s.part("zebra has our route", func() {
		s.within(20*time.Second, "registered", has(r1.cache, hubOfOurs(2)))
		s.within(20*time.Second, "zebra knows the hub by it", func() error {
			out, err := zebra.run("vtysh", "-c", "show ip route 10.255.255.2/32")
			if err != nil {
				return err
			}
			return contains(out, "tun100")
		})
	})
	s.part("routes that FRR writes are mirrored", func() {
		zebra.configure("ip route 4.4.4.1/32 10.255.255.2 tun100 onlink", "ip route 5.5.5.1/32 10.255.255.2")
		for _, a := range []string{"4.4.4.1", "5.5.5.1"} {
			s.within(10*time.Second, "FRR has written "+a, func() error {
				return contains(r1.kernelRoute(a), "dev tun100")
			})
			s.within(5*time.Second, "and we forward by it", pings(r1, a, 5, "-i", "0.1"))
		}
	})
	s.part("and forgotten with them", func() {
		zebra.configure("no ip route 4.4.4.1/32 10.255.255.2 tun100 onlink")
		s.within(10*time.Second, "FRR has taken 4.4.4.1 back", func() error {
			if out := r1.kernelRoute("4.4.4.1"); strings.Contains(out, tunnelName) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		s.within(5*time.Second, "nothing answers there", func() error {
			if received, _ := ping(r1, "4.4.4.1", 1); received != 0 {
				return fmt.Errorf("it does")
			}
			return nil
		})
		s.within(5*time.Second, "5.5.5.1 is as before", pings(r1, "5.5.5.1", 3, "-i", "0.1"))
	})
	s.decoded()
}
