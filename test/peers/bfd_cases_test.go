package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

const (
	hundred = 100 * time.Millisecond
	tracked = "172.16.%d.0/24" // a route of ours by the router of a number, used while BFD says nothing against it
)

// BFD with FRR and BIRD on one link: sessions of static routes, over IPv4 and IPv6, and how they end and begin again.
func TestBFDWithOthers(t *testing.T) {
	b := newBFDScene(t)
	c := &bfdCases{bfdScene: b}
	c.frr = b.start("frr", 2, []int{1}, "frr.conf",
		"bfd", " peer 10.1.0.1 interface eth0", "  transmit-interval 200", "  receive-interval 100", "  detect-multiplier 4",
		" peer fd00:1::1 local-address fd00:1::2 interface eth0", "  transmit-interval 600", "  receive-interval 700", "exit")
	c.bird = b.start("bird", 3, []int{1}, "bird.conf", `log "/lab/log/bird.log" all;`, "router id 10.1.0.3;", "protocol device {}",
		`protocol bfd { interface "eth0" { min rx interval 400 ms; min tx interval 250 ms; idle tx interval 1 s; multiplier 5; };`,
		` neighbor 10.1.0.1 dev "eth0" local 10.1.0.3;`, ` neighbor fd00:1::1 dev "eth0" local fd00:1::3; }`)
	c.us = b.ours("us", 1, []int{1}, c.routes("")...)
	b.part("sessions come up, and each end keeps to what the other can take", c.negotiate)
	b.part("intervals change while a session is up", c.poll)
	b.part("a peer that switches a session off fails nothing", c.adminDown)
	b.part("we switch a session off", c.weAreOff)
	b.part("a path that fails moves its routes", c.cutThePath)
	b.part("the peer's daemon is killed and comes back", c.theirDeath)
	b.part("ours ends, and is killed, and comes back", c.ourDeath)
	b.part("echo is not for us", c.echo)
	b.decoded(map[string]string{bfd4(1, 1): "us", bfd6(1, 1): "us over IPv6"})
}

type bfdCases struct {
	*bfdScene
	frr, bird *other
	us        *node
}

// routes are ours: by FRR and by BIRD, with one by the other behind it. Without lacks the route by FRR over IPv4.
func (c *bfdCases) routes(without string) (y []string) {
	y = append(y, "routes:")
	for _, peer := range []int{2, 3} {
		to := fmt.Sprintf(tracked, peer)
		if to != without {
			y = append(y, fmt.Sprintf("  - {to: %s, via: %s, interface: eth0, track: bfd}", to, bfd4(1, peer)))
		}
		y = append(y, fmt.Sprintf("  - {to: %s, via: %s, interface: eth0, distance: 5}", to, bfd4(1, 5-peer)),
			fmt.Sprintf("  - {to: \"fd00:16:%d::/48\", via: \"%s\", interface: eth0, track: bfd}", peer, bfd6(1, peer)))
	}
	return y
}

func (c *bfdCases) negotiate() {
	limit := 20 * time.Second
	c.within(limit, "FRR over IPv4", is(c.us, bfd4(1, 2), "up", each(3*hundred, 12*hundred)))
	c.within(limit, "FRR over IPv6", is(c.us, bfd6(1, 2), "up", each(7*hundred, 18*hundred)))
	c.within(limit, "BIRD over IPv4", is(c.us, bfd4(1, 3), "up", each(4*hundred, 15*hundred)))
	c.within(limit, "BIRD over IPv6", is(c.us, bfd6(1, 3), "up", each(4*hundred, 15*hundred)))
	c.within(limit, "FRR agrees", c.frr.says(bfd4(1, 1), "up", func(s frrSession) bool {
		return s.RemoteTransmit == 300 && s.RemoteReceive == 300 && s.RemoteMultiplier == 3 && s.RemoteEcho == 0
	}))
	c.within(limit, "BIRD agrees", c.bird.birdSays(bfd4(1, 1), "Up", 0.3, 1.2))
	for _, peer := range []int{2, 3} {
		c.within(limit, "the route by it is in use", routed(c.us, fmt.Sprintf(tracked, peer), bfd4(1, peer)))
	}
}

// poll changes FRR's intervals with the session up: it is still up, and nobody counts a fall.
func (c *bfdCases) poll() {
	before, err := session(c.us, bfd4(1, 2))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, tt := range []struct {
		transmit, receive int
		ours, silence     time.Duration
	}{{500, 800, 8 * hundred, 20 * hundred}, {100, 50, 3 * hundred, 12 * hundred}} {
		c.frr.configure("bfd", "peer 10.1.0.1 interface eth0", fmt.Sprint("transmit-interval ", tt.transmit), fmt.Sprint("receive-interval ", tt.receive))
		c.within(10*time.Second, "we send and wait as FRR wants it now", is(c.us, bfd4(1, 2), "up", each(tt.ours, tt.silence)))
	}
	after, err := session(c.us, bfd4(1, 2))
	if err != nil || after.UpFor < before.UpFor {
		c.t.Errorf("the session began anew: up for %v s, before %v s; %v", after.UpFor, before.UpFor, err)
	}
	if n, err := c.frr.frrFalls(bfd4(1, 1)); n > 0 || err != nil {
		c.t.Errorf("FRR's session fell %d times, %v", n, err)
	}
}

func (c *bfdCases) adminDown() {
	c.frr.configure("bfd", "peer 10.1.0.1 interface eth0", "shutdown")
	c.within(10*time.Second, "we know that FRR has switched it off", is(c.us, bfd4(1, 2), "down", because("the peer has switched the session off")))
	c.always(2*time.Second, "the route by FRR is still in use", routed(c.us, fmt.Sprintf(tracked, 2), bfd4(1, 2)))
	c.frr.configure("bfd", "peer 10.1.0.1 interface eth0", "no shutdown")
	c.within(15*time.Second, "the session is back", is(c.us, bfd4(1, 2), "up", nil))
}

func (c *bfdCases) weAreOff() {
	c.us.reload(func(p *spec) {
		p.text = lines(append([]string{"version: 1", "node: us"}, c.routes(fmt.Sprintf(tracked, 2))...)...)
	})
	c.within(10*time.Second, "FRR hears that we have switched it off", c.frr.says(bfd4(1, 1), "down", func(s frrSession) bool {
		return s.RemoteDiagnostic == "administratively down"
	}))
	c.us.reload(func(p *spec) { p.text = lines(append([]string{"version: 1", "node: us"}, c.routes("")...)...) })
	c.within(15*time.Second, "the session is back", c.frr.says(bfd4(1, 1), "up", nil))
}

// cutThePath has our link carry nothing: all sessions fail, at both ends; no route by a neighbour is left but the one that
// nothing is known of.
func (c *bfdCases) cutThePath() {
	c.steady()
	c.cut("us", 1)
	for _, peer := range []int{2, 3} {
		c.within(5*time.Second, "we know", is(c.us, bfd4(1, peer), "down", because("no packet from the peer for")))
		c.within(5*time.Second, "and over IPv6", is(c.us, bfd6(1, peer), "down", nil))
		c.within(5*time.Second, "the route is the one behind it", routed(c.us, fmt.Sprintf(tracked, peer), bfd4(1, 5-peer)))
	}
	c.within(5*time.Second, "FRR knows", c.frr.says(bfd4(1, 1), "down", nil))
	c.within(5*time.Second, "BIRD knows", c.bird.birdSays(bfd4(1, 1), "Down", 0, 0))
	c.mend("us", 1)
	c.allUp()
}

func (c *bfdCases) allUp() {
	c.t.Helper()
	for _, peer := range []int{2, 3} {
		c.within(20*time.Second, "the session is back", is(c.us, bfd4(1, peer), "up", nil))
		c.within(20*time.Second, "and over IPv6", is(c.us, bfd6(1, peer), "up", nil))
		c.within(5*time.Second, "and the route", routed(c.us, fmt.Sprintf(tracked, peer), bfd4(1, peer)))
	}
}

// steady waits until our session with FRR has been up for so long that a fall is none of several.
func (c *bfdCases) steady() {
	c.t.Helper()
	c.within(20*time.Second, "the session is steady", is(c.us, bfd4(1, 2), "up", func(r bfd.Row) bool { return r.UpFor > 5 }))
}

func (c *bfdCases) theirDeath() {
	c.steady()
	c.frr.must("bash", "-c", "kill -KILL $(cat /run/frr/bfdd.pid)")
	c.within(5*time.Second, "we know of FRR", is(c.us, bfd4(1, 2), "down", because("no packet from the peer for")))
	c.within(5*time.Second, "the route is the one behind it", routed(c.us, fmt.Sprintf(tracked, 2), bfd4(1, 3)))
	c.frr.must("bash", "-c", "rm -f /run/frr/bfdd.pid; /usr/lib/frr/bfdd -d -A 127.0.0.1 --log file:/lab/log/frr.log && vtysh -b")
	c.allUp()
	c.steady()
	c.bird.must("birdc", "restart", "bfd1")
	c.within(20*time.Second, "BIRD begins anew", c.bird.birdSays(bfd4(1, 1), "Up", 0, 0))
	c.allUp()
}

func (c *bfdCases) ourDeath() {
	c.us.stop()
	c.within(5*time.Second, "FRR knows at once, in words", c.frr.says(bfd4(1, 1), "down", func(s frrSession) bool {
		return s.Diagnostic == "neighbor signaled session down" && s.RemoteDiagnostic == "path down"
	}))
	c.us.start()
	c.allUp()
	c.us.kill()
	c.within(10*time.Second, "FRR knows", c.frr.says(bfd4(1, 1), "down", nil))
	c.within(10*time.Second, "BIRD knows", c.bird.birdSays(bfd4(1, 1), "Down", 0, 0))
	c.us.start()
	c.allUp()
}

// echo is asked for by FRR; we have told that we take none (RFC 5880 section 6.8.9), and nothing changes.
func (c *bfdCases) echo() {
	before, err := c.frr.frrFalls(bfd4(1, 1))
	if err != nil {
		c.t.Fatal(err)
	}
	c.frr.configure("bfd", "peer 10.1.0.1 interface eth0", "echo-mode", "echo transmit-interval 50")
	c.always(3*time.Second, "the session is up", is(c.us, bfd4(1, 2), "up", nil))
	if after, err := c.frr.frrFalls(bfd4(1, 1)); after != before || err != nil {
		c.t.Errorf("FRR's session fell %d times, %v", after-before, err)
	}
}

// OSPF neighbours of three makes with BFD: when forwarding stops the neighbours are gone long before their dead interval,
// at every end; and a worker that is killed is noticed by nobody.
func TestBFDWithOSPF(t *testing.T) {
	b := newBFDScene(t)
	c := &bfdCases{bfdScene: b}
	c.frr = b.start("frr", 2, []int{1}, "frr.conf", "interface eth0", " ip ospf area 0", " ip ospf bfd", " ip ospf bfd 3 100 100", " ip ospf hello-interval 1",
		" ip ospf dead-interval 20", "router ospf", " ospf router-id 10.1.0.2", "exit")
	c.bird = b.start("bird", 3, []int{1}, "bird.conf", `log "/lab/log/bird.log" all;`, "router id 10.1.0.3;", "protocol device {}",
		`protocol bfd { interface "eth0" { interval 100 ms; multiplier 3; }; }`,
		`protocol ospf v2 { ipv4 { import all; export none; }; area 0 { interface "eth0" { hello 1; dead 20; bfd on; }; }; }`)
	c.us = b.ours("us", 1, []int{1}, "ospf:", "  router-id: 10.1.0.1",
		"  areas: {0: {interfaces: {eth0: {hello: 1s, dead: 20s, bfd: {interval: 100ms, multiplier: 3}}}}}")
	b.part("adjacencies, and sessions with them", c.adjacencies)
	b.part("our worker is killed", c.workerDies)
	b.part("forwarding stops", c.forwardingStops)
	b.part("a neighbour without BFD is not harmed", c.without)
	b.decoded(map[string]string{bfd4(1, 1): "us"})
}

func (c *bfdCases) ospfFull() {
	c.t.Helper()
	c.within(90*time.Second, "we are full with FRR", adjacent(c.us, "ospf", "10.1.0.2"))
	c.within(90*time.Second, "we are full with BIRD", adjacent(c.us, "ospf", "10.1.0.3"))
}

func (c *bfdCases) adjacencies() {
	c.ospfFull()
	for _, peer := range []int{2, 3} {
		c.within(10*time.Second, "the session is up", is(c.us, bfd4(1, peer), "up", each(hundred, 3*hundred)))
	}
	c.within(10*time.Second, "at FRR", c.frr.says(bfd4(1, 1), "up", nil))
	c.within(10*time.Second, "at BIRD", c.bird.birdSays(bfd4(1, 1), "Up", 0.1, 0.3))
}

// workerDies needs the other end to have no false alarm of its own: machines that test are busy, so of several deaths one
// must go by without a fall.
func (c *bfdCases) workerDies() {
	for range 5 {
		before, err := c.frr.frrFalls(bfd4(1, 1))
		if err != nil {
			c.t.Fatal(err)
		}
		worker := c.worker()
		if err := unix.Kill(worker, unix.SIGKILL); err != nil {
			c.t.Fatal(err)
		}
		c.within(10*time.Second, "there is another worker", func() error {
			if now := c.worker(); now == 0 || now == worker {
				return fmt.Errorf("it is process %d", now)
			}
			return nil
		})
		c.within(10*time.Second, "the session is up", is(c.us, bfd4(1, 2), "up", nil))
		if after, err := c.frr.frrFalls(bfd4(1, 1)); err == nil && after == before {
			return
		}
		c.ospfFull()
		c.steady()
	}
	c.t.Error("FRR's session fell each time that our worker died")
}

// worker is the process in which our sessions are: a child of a child of the daemon.
func (c *bfdCases) worker() (pid int) {
	for _, keeper := range childrenOf(c.us.daemon.Process.Pid) {
		for _, worker := range childrenOf(keeper) {
			pid = worker
		}
	}
	return pid
}

// forwardingStops wants all to know within seconds what the dead interval would tell after twenty.
func (c *bfdCases) forwardingStops() {
	c.steady()
	c.cut("us", 1)
	gone := func() error {
		var rows []struct{ RouterID, State string }
		err := c.us.show(&rows, "ospf", "neighbors")
		if err == nil && len(rows) > 0 {
			err = fmt.Errorf("we have neighbours: %v", rows)
		}
		return err
	}
	c.within(5*time.Second, "we have no neighbour", gone)
	c.within(5*time.Second, "FRR has not us", func() error {
		out, err := c.frr.run("vtysh", "-c", "show ip ospf neighbor")
		if contains(out, "10.1.0.1") == nil {
			return fmt.Errorf("%s", out)
		}
		return err
	})
	c.within(5*time.Second, "BIRD has not us", func() error {
		out, err := c.bird.run("birdc", "show", "ospf", "neighbors")
		if contains(out, "10.1.0.1") == nil {
			return fmt.Errorf("%s", out)
		}
		return err
	})
	c.mend("us", 1)
	c.ospfFull()
}

// without takes BFD from FRR's end and gives it back: the neighbour stays, since nothing failed (RFC 5882 4.1). BIRD is no
// example: it takes a session back without a word.
func (c *bfdCases) without() {
	up := is(c.us, bfd4(1, 2), "up", nil)
	c.within(20*time.Second, "the session is up", up)
	c.within(20*time.Second, "at FRR", c.frr.says(bfd4(1, 1), "up", nil))
	c.frr.configure("interface eth0", "no ip ospf bfd")
	c.within(10*time.Second, "the session is down", is(c.us, bfd4(1, 2), "down", nil))
	c.always(3*time.Second, "we are full with FRR", adjacent(c.us, "ospf", "10.1.0.2"))
	c.frr.configure("interface eth0", "ip ospf bfd", "ip ospf bfd 3 100 100")
	c.within(20*time.Second, "the session is up", up)
}

// RFC 5883: next hops behind another router are watched themselves, by either make and over both families.
func TestBFDOverSeveralHops(t *testing.T) {
	b := newBFDScene(t)
	b.middle(2, 1, 2)
	frr := b.startBehind(2, "farfrr", 4, []int{2}, "frr.conf", "bfd",
		" peer 10.1.0.1 multihop local-address 10.2.0.4", "  transmit-interval 200", "  receive-interval 200",
		" peer fd00:1::1 multihop local-address fd00:2::4", "exit")
	bird := b.startBehind(2, "farbird", 5, []int{2}, "bird.conf", `log "/lab/log/bird.log" all;`, "router id 10.2.0.5;", "protocol device {}",
		"protocol bfd { multihop { interval 200 ms; multiplier 5; }; neighbor 10.1.0.1 local 10.2.0.5 multihop; }")
	us := b.ours("us", 1, []int{1}, "routes:", "  - {to: 10.2.0.0/24, via: 10.1.0.2, interface: eth0}",
		`  - {to: "fd00:2::/64", via: "fd00:1::2", interface: eth0}`,
		"  - {to: 172.16.4.0/24, via: 10.2.0.4, track: bfd, track-from: 10.1.0.1}", "  - {to: 172.16.4.0/24, via: 10.2.0.5, distance: 5}",
		"  - {to: 172.16.5.0/24, via: 10.2.0.5, track: bfd, track-from: 10.1.0.1, track-hops: 255}", // BIRD begins with a TTL of 64
		`  - {to: "fd00:16:4::/48", via: "fd00:2::4", track: bfd, track-from: "fd00:1::1"}`)
	b.part("sessions over two hops come up", func() {
		b.within(20*time.Second, "FRR", is(us, bfd4(2, 4), "up", each(3*hundred, 9*hundred)))
		b.within(20*time.Second, "FRR over IPv6", is(us, bfd6(2, 4), "up", nil))
		b.within(20*time.Second, "BIRD", is(us, bfd4(2, 5), "up", each(3*hundred, 15*hundred)))
		b.within(20*time.Second, "FRR agrees", frr.says(bfd4(1, 1), "up", func(s frrSession) bool { return s.Multihop }))
		b.within(20*time.Second, "BIRD agrees", bird.birdSays(bfd4(1, 1), "Up", 0.3, 0.9))
	})
	b.part("a next hop that fails behind the other router moves its route", func() {
		b.within(5*time.Second, "the route leads there", routed(us, "172.16.4.0/24", bfd4(1, 2)))
		b.cut("farfrr", 2)
		b.within(5*time.Second, "we know", is(us, bfd4(2, 4), "down", because("no packet from the peer for")))
		b.within(5*time.Second, "the route behind it is in use", has(us.routes, routeRow("172.16.4.0/24", "static", 5, bfd4(1, 2), "eth0")))
		b.within(5*time.Second, "that of the other is where it was", is(us, bfd4(2, 5), "up", nil))
		b.mend("farfrr", 2)
		b.within(20*time.Second, "the session is back", is(us, bfd4(2, 4), "up", nil))
	})
	b.part("who is too far away is not believed", func() {
		us.reload(func(p *spec) {
			p.text = strings.ReplaceAll(p.text, ", track-hops: 255", "")
		})
		b.within(10*time.Second, "we do not hear BIRD", is(us, bfd4(2, 5), "down", nil))
		b.within(10*time.Second, "its packets are counted", func() error { return contains(us.must("show", "counters"), "dropped: ttl") })
	})
	b.decoded(map[string]string{bfd4(1, 1): "us", bfd6(1, 1): "us over IPv6"})
}

// BFD in the cloud: our spoke and FRR's hub on its mGRE interface, for NHRP and OSPF at once.
func TestBFDInTheCloud(t *testing.T) {
	s := newScene(t, "trixie")
	hub := s.boot(spec{name: "frrhub", site: 2, password: secret, ospf: true})[0]
	hub.must("/usr/lib/frr/bfdd", "-d", "-A", "127.0.0.1", "--log", "file:/lab/log/frr.log")
	hub.configure("interface "+tunnelName, "ip ospf bfd", "ip ospf bfd 3 300 300")
	us := s.spokeway(spec{name: "r5", site: 5, text: lines("version: 1", "node: r5", "tunnels:", "  "+tunnelName+":", "    underlay: eth0",
		"    address: "+hostRoute(5), "    key: 42", "    mtu: 1400", "    bfd: {interval: 250ms, multiplier: 4}",
		"    nhrp: {network-id: 42, holdtime: 10s, authentication: "+secret+", servers: [{nbma: "+nbma(2)+"}]}",
		"ospf:", "  router-id: "+tunnelAddress(5), "  areas: {0: {interfaces: {"+tunnelName+": {hello: 1s, dead: 8s}, lan0: {passive: true}}}}")})[0]
	s.part("one session for NHRP and OSPF", func() {
		s.within(40*time.Second, "we are full with FRR's hub", adjacent(us, "ospf", tunnelAddress(2)))
		s.within(20*time.Second, "the session is up, for both", is(us, tunnelAddress(2), "up", func(r bfd.Row) bool {
			return slices.Equal(r.Watchers, []string{"nhrp", "ospf"})
		}))
		var rows []bfd.Row
		if err := us.show(&rows, "bfd"); err != nil || len(rows) != 1 {
			s.t.Errorf("there are %d sessions: %+v, %v", len(rows), rows, err)
		}
		s.within(10*time.Second, "FRR agrees", shows(hub, "show bfd peers", "Status: up"))
	})
	s.part("when the path fails both know", func() {
		s.within(20*time.Second, "the session is steady", is(us, tunnelAddress(2), "up", func(r bfd.Row) bool { return r.UpFor > 5 }))
		s.ip(s.netns, "link", "set", us.name, "nomaster")
		s.within(5*time.Second, "OSPF has no neighbour, and NHRP no hub", func() error {
			var rows []struct{ RouterID string }
			err := us.show(&rows, "ospf", "neighbors")
			peer, e := us.peer(tunnelAddress(2))
			if err == nil && (len(rows) > 0 || e == nil && peer.State == "up") {
				err = fmt.Errorf("neighbours %v, peer %+v", rows, peer)
			}
			return err
		})
		s.ip(s.netns, "link", "set", us.name, "master", bridge)
		s.within(60*time.Second, "we are full again", adjacent(us, "ospf", tunnelAddress(2)))
		s.within(20*time.Second, "the session is up again", is(us, tunnelAddress(2), "up", nil))
	})
	s.decoded()
}
