package peers

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A strongSwan 6.0 with FRR 10.3 as hub of spokes of ours, each with a protection of its own. All of them share the
// guest, and thus its boot.
func TestStrongSwanHub(t *testing.T) {
	short := []string{"esp-lifetime: 10s", "ike-lifetime: 14s"}
	fast := []string{"rekey_time = 12s", "over_time = 5s", "rand_time = 0s"}
	child := []string{"rekey_time = 9s", "rand_time = 0s", "life_time = 30s"}
	c := swanHub(t, "trixie", []protection{
		gcm, defaults, cbc, tunnelled, tunnelledCBC, chacha, guess, noESN, withESN, inUDP, ecdsa, rsa, ed25519, withPPK,
		named("natted", gcm).with([]string{"dpd: 2s"}, nil, nil),
		named("nattedcert", ecdsa),
		named("short", gcm).with(short, nil, nil),
		named("shortcbc", cbc).with(short, nil, nil),
		named("both", gcm).with(short, fast, child),
		named("dying", gcm).with([]string{"dpd: 3s"}, []string{"dpd_delay = 2s"}, nil),
	})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("and carries packets of every size", c.sizes)
	s.part("strongSwan rekeys under traffic", c.theyRekey)
	s.part("we rekey, and both do, under traffic", c.weRekey)
	s.part("strongSwan initiates", c.theyInitiate)
	s.part("strongSwan says goodbye", c.theyDelete)
	s.part("we say goodbye", c.weDelete)
	s.part("we are gone without a word", c.weDie)
	s.part("a hanging peer is given up", c.hang)
	s.part("an address translator changes its mapping", c.remap)
	s.part("our address changes", c.move)
	s.part("strongSwan is gone without a word", c.theyDie)
	s.part("strongSwan refuses, and we say why", c.refusals)
	s.protectedDecoded()
}

// The same with strongSwan 5.9 and FRR 8.4.
func TestOldStrongSwanHub(t *testing.T) {
	c := swanHub(t, "bookworm", []protection{gcm, named("defaults59", defaults), cbc, tunnelled, ecdsa, rsa, withPPK, named("natted", gcm)})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("and carries packets of every size", c.sizes)
	s.part("strongSwan rekeys under traffic", c.theyRekey)
	s.part("strongSwan initiates", c.theyInitiate)
	s.part("strongSwan says goodbye", c.theyDelete)
	s.protectedDecoded()
}

// The same with strongSwan 6.1, Debian's first that has ML-KEM: RFC 9370, with IKE_INTERMEDIATE of RFC 9242.
func TestHybrid(t *testing.T) {
	c := swanHub(t, "forky", []protection{hybrid, hybridCBC, defaults, named("hybridcert", hybrid).certified(), named("nattedpq", hybrid)})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("by ML-KEM", func() {
		c.additional(map[string]string{"hybrid": "ML_KEM_768", "hybridcbc": "ML_KEM_1024", "defaults": ""})
	})
	s.part("strongSwan rekeys under traffic", c.theyRekey)
	s.part("strongSwan initiates", c.theyInitiate)
	s.part("by ML-KEM as well", func() {
		c.additional(map[string]string{"hybrid": "ML_KEM_768", "hybridcbc": "ML_KEM_1024", "hybridcert": "ML_KEM_768"})
	})
	s.protectedDecoded()
}

// additional wants the IKE SAs to have an additional key exchange.
func (c *swan) additional(want map[string]string) {
	for _, n := range c.named(sortedKeys(want)...) {
		if sa, _, err := c.hub.one(n.name); err != nil || sa.get("ake1") != want[n.name] {
			c.t.Errorf("%s has the additional key exchange %q: %v", n.name, sa.get("ake1"), err)
		}
	}
}

func named(name string, p protection) protection {
	p.name = name
	return p
}

func (p protection) certified() protection {
	p.certificate = true
	return p
}

type swan struct {
	*scene
	hub    *guest
	spokes []*node
}

const firstSpoke = 20

// swanHub is a hub of strongSwan and FRR, and a spoke of ours for each protection. Those whose name begins with
// "natted" are behind an address translator.
func swanHub(t *testing.T, suite string, all []protection) *swan {
	t.Helper()
	c := &swan{scene: newScene(t, suite)}
	hub := spec{name: "hub", site: 2}
	for i, p := range all {
		if only := os.Getenv("LAB_ONLY"); only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		spoke := spec{name: p.name, site: firstSpoke + i, servers: []server{{site: 2}}, protect: p, nat: strings.HasPrefix(p.name, "natted")}
		hub.partners = append(hub.partners, spoke)
		hub.clients = append(hub.clients, spoke.site)
	}
	good := slices.Clone(hub.partners)
	hub.partners = append(hub.partners, c.bad()...)
	c.hub = c.boot(hub)[0]
	c.spokes = c.spokeway(good...)
	return c
}

// named are the spokes of these protections, as far as they are in the scene.
func (c *swan) named(names ...string) (all []*node) {
	for _, n := range c.spokes {
		if slices.Contains(names, n.name) {
			all = append(all, n)
		}
	}
	return all
}

// each wants a check to be content with every spoke in time, and tells which took longest.
func (c *swan) each(limit time.Duration, what string, check func(*node) func() error) {
	c.t.Helper()
	start := time.Now()
	errs := make([]error, len(c.spokes))
	for {
		var jobs []func()
		for i, n := range c.spokes {
			jobs = append(jobs, func() { errs[i] = check(n)() })
		}
		atOnce(jobs...)
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			c.t.Logf("%-60s %5.1f s", "each "+what, time.Since(start).Seconds())
			return
		}
		if time.Since(start) > limit {
			break
		}
		time.Sleep(between)
	}
	for i, err := range errs {
		if err != nil {
			c.t.Errorf("%s %s: not within %v: %v", c.spokes[i].name, what, limit, err)
		}
	}
	c.t.FailNow()
}

// up: strongSwan has what was asked for, we say the same of it, and NHRP registered.
func (c *swan) up() {
	c.each(60*time.Second, "is registered", func(n *node) func() error {
		entry := registered(n.site)
		if n.nat {
			entry = registeredByNAT(n.site)
		}
		return has(c.hub.cache, entry)
	})
	for _, n := range c.spokes {
		_, child, err := c.hub.one(n.name)
		if err != nil {
			c.t.Errorf("%v", err)
			continue
		}
		if got, want := child.row(), negotiated[n.name]; got != want {
			c.t.Errorf("strongSwan has %q with %s, not %q", got, n.name, want)
		}
		c.agree(n, child)
	}
}

// agree: our row of the SA says what strongSwan's does.
func (c *swan) agree(n *node, child swanSA) {
	c.t.Helper()
	row, err := n.sa(2)
	if err != nil {
		c.t.Error(err)
		return
	}
	in, out := trimSPI(child.get("spi-out")), trimSPI(child.get("spi-in"))
	encapsulation := cmp.Or(map[string]string{"yes": "udp"}[child.get("encap")], "esp")
	if row.State != "up" || !strings.EqualFold(row.Mode, child.get("mode")) || row.Encapsulation != encapsulation ||
		trimSPI(row.SPIIn) != in || trimSPI(row.SPIOut) != out {
		c.t.Errorf("%s has %+v, strongSwan %v", n.name, row, child)
	}
}

func trimSPI(s string) string { return strings.TrimLeft(strings.TrimPrefix(s, "0x"), "0") }

// negotiated is what strongSwan shows of a child SA: mode, algorithms, flags. It has no extended sequence numbers unless
// told to.
var negotiated = map[string]string{
	"gcm":          "TRANSPORT AES_GCM_16 256 esn",
	"defaults":     "TRANSPORT AES_GCM_16 128",
	"defaults59":   "TRANSPORT AES_CBC 128 HMAC_SHA2_256_128",
	"cbc":          "TRANSPORT AES_CBC 256 HMAC_SHA2_256_128",
	"tunnelled":    "TUNNEL AES_GCM_16 128",
	"tunnelledcbc": "TUNNEL AES_CBC 128 HMAC_SHA2_512_256",
	"chacha":       "TRANSPORT CHACHA20_POLY1305",
	"guess":        "TRANSPORT AES_GCM_16 256",
	"noesn":        "TRANSPORT AES_GCM_16 256",
	"esn":          "TRANSPORT AES_CBC 256 HMAC_SHA2_256_128 esn",
	"inudp":        "TRANSPORT AES_GCM_16 256 encap",
	"ecdsa":        "TRANSPORT AES_GCM_16 256",
	"rsa":          "TRANSPORT AES_GCM_16 256",
	"ed25519":      "TRANSPORT AES_GCM_16 256",
	"ppk":          "TRANSPORT AES_GCM_16 256",
	"natted":       "TRANSPORT AES_GCM_16 256 esn encap",
	"nattedcert":   "TRANSPORT AES_GCM_16 256 encap",
	"short":        "TRANSPORT AES_GCM_16 256 esn",
	"shortcbc":     "TRANSPORT AES_CBC 256 HMAC_SHA2_256_128",
	"both":         "TRANSPORT AES_GCM_16 256 esn",
	"dying":        "TRANSPORT AES_GCM_16 256 esn",
	"nattedpq":     "TRANSPORT AES_GCM_16 256 encap",
	"hybrid":       "TRANSPORT AES_GCM_16 256",
	"hybridcbc":    "TRANSPORT AES_CBC 256 HMAC_SHA2_256_128",
	"hybridcert":   "TRANSPORT AES_GCM_16 256",
}

func (c *swan) sizes() {
	c.each(40*time.Second, "reaches the hub", func(n *node) func() error { return pings(n, c.hub.address(), 100, "-f") })
	for _, size := range []string{"0", "1", "15", "1371", "1372"} { // the last fills the tunnel's MTU
		c.each(20*time.Second, "sends packets of "+size, func(n *node) func() error {
			return pings(n, c.hub.address(), 2, "-i", "0.2", "-s", size, "-M", "do")
		})
	}
}

// theyRekey: child and IKE SA of every protection, on strongSwan's command, and nothing is lost.
func (c *swan) theyRekey() {
	var flows []*flow
	for _, n := range c.spokes {
		flows = append(flows, traffic(n, c.hub, 12))
	}
	before := map[string]string{}
	for _, n := range c.spokes {
		if _, child, err := c.hub.one(n.name); err == nil {
			before[n.name] = child.get("spi-in")
		}
		c.hub.must("swanctl", "--rekey", "--child", n.name)
	}
	c.each(20*time.Second, "has other keys", func(n *node) func() error {
		return func() error {
			_, child, err := c.hub.one(n.name)
			if err == nil && child.get("spi-in") == before[n.name] {
				err = fmt.Errorf("the same SPI")
			}
			return err
		}
	})
	for _, n := range c.spokes {
		if sa, _, err := c.hub.one(n.name); err == nil {
			before[n.name] = sa.get("responder-spi") + sa.get("initiator-spi")
		}
		c.hub.must("swanctl", "--rekey", "--ike", n.name)
	}
	c.each(20*time.Second, "has another IKE SA", func(n *node) func() error {
		return func() error {
			sa, _, err := c.hub.one(n.name)
			if err == nil && sa.get("responder-spi")+sa.get("initiator-spi") == before[n.name] {
				err = fmt.Errorf("the same IKE SA")
			}
			return err
		}
	})
	for _, f := range flows {
		f.end(c.scene)
	}
}

// weRekey: lifetimes of seconds at our end, and in one case at both ends, so that rekeyings meet.
func (c *swan) weRekey() {
	var flows []*flow
	spis, ikes := map[string]map[string]bool{}, map[string]map[string]bool{}
	spokes := c.named("short", "shortcbc", "both")
	for _, n := range spokes {
		flows = append(flows, traffic(n, c.hub, 26))
		spis[n.name], ikes[n.name] = map[string]bool{}, map[string]bool{}
	}
	for start := time.Now(); time.Since(start) < 26*time.Second; time.Sleep(time.Second) {
		for _, n := range spokes {
			if row, err := n.sa(2); err == nil {
				spis[n.name][row.SPIOut] = true
			}
			if sa, _, err := c.hub.one(n.name); err == nil {
				ikes[n.name][sa.get("responder-spi")+sa.get("initiator-spi")] = true
			}
		}
	}
	for _, f := range flows {
		f.end(c.scene)
	}
	for _, n := range spokes {
		if len(spis[n.name]) < 3 || len(ikes[n.name]) < 2 {
			c.t.Errorf("%s had %d outbound SPIs and %d IKE SAs in 26 s", n.name, len(spis[n.name]), len(ikes[n.name]))
		}
		c.within(10*time.Second, n.name+" has one of each", c.single(n))
	}
}

// single wants strongSwan to have one IKE SA with a spoke, and one child SA.
func (c *swan) single(n *node) func() error {
	return func() error { _, _, err := c.hub.one(n.name); return err }
}

// none wants strongSwan to have nothing of a spoke.
func (c *swan) none(n *node) func() error {
	return func() error {
		if all, err := c.hub.sas(n.name); err != nil || len(all) != 0 {
			return fmt.Errorf("%v %v", all, err)
		}
		return nil
	}
}

// theyInitiate: the other role for every protection. The SA that was is then closed, and the new one carries on.
func (c *swan) theyInitiate() {
	for _, n := range c.spokes {
		old, _, err := c.hub.one(n.name)
		if err != nil {
			c.t.Error(err)
			continue
		}
		if out, err := c.hub.run("swanctl", "--initiate", "--ike", n.name, "--child", n.name, "--timeout", "10"); err != nil {
			c.t.Errorf("strongSwan cannot initiate to %s: %v %s\n%s", n.name, err, out, c.hub.charonLog(15))
			continue
		}
		c.hub.run("swanctl", "--terminate", "--ike-id", old.get("uniqueid"))
	}
	c.each(20*time.Second, "has what strongSwan began", func(n *node) func() error {
		return func() error {
			sa, _, err := c.hub.one(n.name)
			if err == nil && sa.get("initiator") != "yes" {
				err = fmt.Errorf("strongSwan did not begin it: %v", sa)
			}
			return err
		}
	})
	c.each(20*time.Second, "reaches the hub by it", func(n *node) func() error { return pings(n, c.hub.address(), 10, "-i", "0.1") })
	c.each(5*time.Second, "shows its role", func(n *node) func() error {
		return func() error {
			all, err := n.ikeSAs()
			if err != nil || len(all) != 1 || all[0].Role != "responder" || all[0].State != "established" {
				return fmt.Errorf("%v, %+v", err, all)
			}
			return nil
		}
	})
}

// theyDelete: strongSwan closes child SAs, then IKE SAs; NHRP still needs its hub, so each comes back.
func (c *swan) theyDelete() {
	for _, what := range []string{"--child", "--ike"} {
		for _, n := range c.spokes {
			c.hub.must("swanctl", "--terminate", what, n.name)
		}
		c.each(30*time.Second, "is back after "+what, func(n *node) func() error { return pings(n, c.hub.address(), 3, "-i", "0.2") })
	}
}

// weDelete: a spoke that ends in good order takes its SAs with it.
func (c *swan) weDelete() {
	for _, n := range c.named("gcm") {
		n.stop()
		c.within(3*time.Second, "strongSwan has nothing of it any more", c.none(n))
		n.start()
		c.within(30*time.Second, "it is back", pings(n, c.hub.address(), 3, "-i", "0.2"))
	}
}

// weDie: INITIAL_CONTACT of the next life replaces what strongSwan has of the last, RFC 7296 section 2.4.
func (c *swan) weDie() {
	for _, n := range c.named("gcm", "ecdsa") {
		n.kill()
		n.start()
		c.within(30*time.Second, n.name+" is back", pings(n, c.hub.address(), 3, "-i", "0.2"))
		c.within(10*time.Second, "and strongSwan has one SA with it", c.single(n))
	}
}

// hang: strongSwan finds out that we do not answer; afterwards all is as before.
func (c *swan) hang() {
	for _, n := range c.named("dying") {
		n.pause()
		c.within(40*time.Second, "strongSwan gives us up", c.none(n))
		n.resume()
		c.within(40*time.Second, "we are back", pings(n, c.hub.address(), 3, "-i", "0.2"))
		c.within(20*time.Second, "with one SA", c.single(n))
	}
}

// remap: the translator forgets its mappings and makes others, from another address.
func (c *swan) remap() {
	for _, n := range c.named("natted") {
		other := strings.TrimSuffix(nbma(n.site), ".2") + ".3"
		n.had = append(n.had, other)
		c.ip(n.outer, "address", "add", other+"/24", "dev", "out")
		c.in(n.outer, "nft", "flush chain ip nat outgoing; add rule ip nat outgoing oifname out snat to "+other)
		c.in(n.outer, "conntrack", "-F")
		c.within(20*time.Second, "strongSwan has it at the other address", func() error {
			sa, _, err := c.hub.one(n.name)
			if err == nil && sa.get("remote-host") != other {
				err = fmt.Errorf("it is at %s", sa.get("remote-host"))
			}
			return err
		})
		c.within(30*time.Second, "and is reached", pings(n, c.hub.address(), 10, "-i", "0.1"))
	}
}

// move: another address of ours. Transport mode SAs cannot follow it (RFC 4555 section 1.1), tunnel mode's can.
func (c *swan) move() {
	for _, n := range c.named("gcm", "tunnelled") {
		n.unplug()
		n.plug(strings.TrimSuffix(nbma(n.site), ".2") + ".200")
		c.within(40*time.Second, n.name+" is reached at its other address", pings(n, c.hub.address(), 10, "-i", "0.1"))
	}
}

// theyDie: strongSwan forgets everything, the kernel's SAs included. Our packets are answered by nothing then.
func (c *swan) theyDie() {
	c.hub.restartCharon()
	c.each(90*time.Second, "is back", func(n *node) func() error { return pings(n, c.hub.address(), 3, "-i", "0.2") })
}

// bad are spokes that strongSwan cannot take.
func (c *swan) bad() (all []spec) {
	for i, p := range []protection{
		named("wrongpsk", gcm),
		named("wrongca", ecdsa),
		{name: "noike", ike: "aes256gcm-sha384-p384", theirIKE: gcm.theirIKE, theirESP: gcm.theirESP},
		{name: "noesp", ike: gcm.ike, esp: "aes128gcm", theirIKE: gcm.theirIKE, theirESP: gcm.theirESP},
	} {
		all = append(all, spec{name: p.name, site: firstSpoke + 50 + i, servers: []server{{site: 2}}, protect: p, refused: true})
	}
	return all
}

// refusals: what strongSwan refuses is said in words, and disturbs nobody else.
func (c *swan) refusals() {
	words := map[string]string{"wrongpsk": "authentication", "wrongca": "authentication", "noike": "proposal", "noesp": "proposal"}
	for _, p := range c.bad() {
		if p.name == "wrongpsk" {
			p.protect.psk = "another-horse-another-battery"
		}
		if p.name == "wrongca" {
			p.protect.stranger = true
		}
		n := c.spokeway(p)[0]
		c.within(20*time.Second, p.name+" is refused, and says so", func() error {
			all, err := n.ikeSAs()
			if err != nil || len(all) == 0 || !strings.Contains(strings.ToLower(all[0].Reason), words[p.name]) {
				return fmt.Errorf("%v, %+v", err, all)
			}
			return nil
		})
		n.stop()
	}
	c.each(20*time.Second, "is as before", func(n *node) func() error { return pings(n, c.hub.address(), 3, "-i", "0.2") })
}
