package peers

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike"
)

// A strongSwan 6.0 with FRR 10.3 as hub of spokes of ours, each with a protection of its own. All of them share the
// guest, and thus its boot.
func TestStrongSwanHub(t *testing.T) {
	c := swanHub(t, "trixie", []protection{
		gcm, defaults, cbc, tunnelled, tunnelledCBC, chacha, guess, noESN, withESN, inUDP, ecdsa, rsa, ed25519, withPPK,
		named("natted", gcm).with([]string{"dpd: 2s"}, nil, nil),
		named("nattedcert", ecdsa),
		named("short", gcm).short(),
		named("shortcbc", cbc).short(),
		named("both", gcm).short().shortThere(),
		named("dying", gcm).with([]string{"dpd: 3s"}, []string{"dpd_delay = 2s"}, nil),
	})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("and carries packets of every size", c.sizes)
	c.rekeying()
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
	c := swanHub(t, "bookworm", []protection{
		gcm, named("defaults59", defaults), cbc, tunnelled, ecdsa, rsa, withPPK, named("natted", gcm),
		named("short", gcm).short(),
		named("dying", gcm).with([]string{"dpd: 3s"}, []string{"dpd_delay = 2s"}, nil),
	})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("and carries packets of every size", c.sizes)
	c.rekeying()
	s.part("strongSwan initiates", c.theyInitiate)
	s.part("strongSwan says goodbye", c.theyDelete)
	s.part("a hanging peer is given up", c.hang)
	s.protectedDecoded()
}

// The same with strongSwan 6.1, Debian's first that has ML-KEM: RFC 9370, with IKE_INTERMEDIATE of RFC 9242. It has no
// other proposal, and so insists on the additional key exchange in each rekeying of an IKE SA, by IKE_FOLLOWUP_KE. Child
// SAs have none of their own: their keys are made of that of the IKE SA.
func TestHybrid(t *testing.T) {
	c := swanHub(t, "forky", []protection{
		hybrid, hybridCBC, defaults, named("hybridcert", hybrid).certified(), named("nattedpq", hybrid),
		named("shortpq", hybrid).short(),
		named("bothpq", hybrid).short().shortThere(),
	})
	s := c.scene
	s.part("every protection comes up", c.up)
	s.part("by ML-KEM", c.additional)
	c.rekeying()
	s.part("by ML-KEM after rekeying", c.additional)
	s.part("strongSwan initiates", c.theyInitiate)
	s.part("by ML-KEM then", c.additional)
	s.protectedDecoded()
}

// rekeying: while restless spokes rekey, strongSwan rekeys the others.
func (c *swan) rekeying() {
	w := c.watch()
	w.underTraffic()
	c.part("strongSwan rekeys under traffic", c.theyRekey)
	c.part("we rekey, and both do, under traffic", w.rekeyed)
}

// additional wants the IKE SAs to have an additional key exchange, those that a rekey made as well.
func (c *swan) additional() {
	want := map[string]string{
		"hybrid": "ML_KEM_768", "hybridcert": "ML_KEM_768", "nattedpq": "ML_KEM_768", "shortpq": "ML_KEM_768", "bothpq": "ML_KEM_768",
		"hybridcbc": "ML_KEM_1024", "defaults": "",
	}
	c.each(10*time.Second, "has its additional key exchange", c.one(func(n *node, sa, _ swanSA) error {
		if got := sa.get("ake1"); got != want[n.name] {
			return fmt.Errorf("it is %q, not %q", got, want[n.name])
		}
		return nil
	}))
}

func named(name string, p protection) protection {
	p.name = name
	return p
}

func (p protection) certified() protection {
	p.certificate = true
	return p
}

// short has us rekey every few seconds.
func (p protection) short() protection {
	p.restless = true
	return p.with([]string{"esp-lifetime: 10s", "ike-lifetime: 14s"}, nil, nil)
}

// shortThere has strongSwan do so.
func (p protection) shortThere() protection {
	return p.with(nil, []string{"rekey_time = 12s", "over_time = 5s", "rand_time = 0s"},
		[]string{"rekey_time = 9s", "rand_time = 0s", "life_time = 30s"})
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

// check is content with a spoke, or says why not.
type check func(*node) error

// each wants a check to be content with every spoke in time. It is made anew for each round, so that the hub, which has
// one CPU, is asked once for all of them.
func (c *swan) each(limit time.Duration, what string, look func() check) {
	c.t.Helper()
	c.eachOf(c.spokes, limit, what, look)
}

func (c *swan) eachOf(spokes []*node, limit time.Duration, what string, look func() check) {
	c.t.Helper()
	start := time.Now()
	for {
		errs := refused(spokes, look())
		took := time.Since(start)
		if len(errs) == 0 {
			c.t.Logf("%-60s %5.1f s", "each "+what, took.Seconds())
			return
		}
		if took > limit {
			for n, err := range errs {
				c.t.Errorf("%s %s: not within %v: %v", n.name, what, limit, err)
			}
			c.t.FailNow()
		}
		spokes = slices.Collect(maps.Keys(errs))
		time.Sleep(between)
	}
}

// refused are the spokes that a check is not content with.
func refused(spokes []*node, ok check) map[*node]error {
	all := make([]error, len(spokes))
	var jobs []func()
	for i, n := range spokes {
		jobs = append(jobs, func() { all[i] = ok(n) })
	}
	atOnce(jobs...)
	errs := map[*node]error{}
	for i, n := range spokes {
		if all[i] != nil {
			errs[n] = all[i]
		}
	}
	return errs
}

// reaches pings the hub from a spoke.
func (c *swan) reaches(count int, options ...string) func() check {
	return func() check { return func(n *node) error { return pings(n, c.hub.address(), count, options...)() } }
}

// one wants strongSwan to have one IKE SA and one child SA with a spoke, and more of them if there is more to want.
func (c *swan) one(more func(n *node, sa, child swanSA) error) func() check {
	return func() check {
		all, err := c.hub.sas()
		return func(n *node) error {
			if err != nil {
				return err
			}
			sa, child, err := only(all[n.name])
			if err != nil || more == nil {
				return err
			}
			return more(n, sa, child)
		}
	}
}

// registered wants the hub's NHRP to have a spoke.
func (c *swan) registered() check {
	rows, err := c.hub.cache()
	have := func() ([]string, error) { return rows, err }
	return func(n *node) error {
		if n.nat {
			return has(have, registeredByNAT(n.site))()
		}
		return has(have, registered(n.site))()
	}
}

// up: strongSwan has what was asked for, we say the same of it, and NHRP registered.
func (c *swan) up() {
	c.each(60*time.Second, "is registered", c.registered)
	c.each(10*time.Second, "has what was asked for", c.one(func(n *node, _, child swanSA) error {
		if got, want := child.row(), negotiated[n.name]; got != want {
			return fmt.Errorf("strongSwan has %q, not %q", got, want)
		}
		return agree(n, child)
	}))
}

// agree: our row of the SA says what strongSwan's does.
func agree(n *node, child swanSA) error {
	row, err := n.sa(2)
	in, out := trimSPI(child.get("spi-out")), trimSPI(child.get("spi-in"))
	encapsulation := cmp.Or(map[string]string{"yes": "udp"}[child.get("encap")], "esp")
	if err != nil || row.State != "up" || !strings.EqualFold(row.Mode, child.get("mode")) || row.Encapsulation != encapsulation ||
		trimSPI(row.SPIIn) != in || trimSPI(row.SPIOut) != out {
		return fmt.Errorf("%v, %+v, strongSwan has %v", err, row, child)
	}
	return nil
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
	"shortpq":      "TRANSPORT AES_GCM_16 256",
	"bothpq":       "TRANSPORT AES_GCM_16 256",
	"hybrid":       "TRANSPORT AES_GCM_16 256",
	"hybridcbc":    "TRANSPORT AES_CBC 256 HMAC_SHA2_256_128",
	"hybridcert":   "TRANSPORT AES_GCM_16 256",
}

func (c *swan) sizes() {
	c.each(40*time.Second, "reaches the hub", c.reaches(100, "-f"))
	for _, size := range []string{"0", "1", "15", "1371", "1372"} { // the last fills the tunnel's MTU
		c.each(20*time.Second, "sends packets of "+size, c.reaches(2, "-i", "0.2", "-s", size, "-M", "do"))
	}
}

// calm are the spokes whose SAs stay until somebody says something.
func (c *swan) calm() []*node {
	return slices.DeleteFunc(slices.Clone(c.spokes), func(n *node) bool { return n.protect.restless })
}

func names(spokes []*node) (all []string) {
	for _, n := range spokes {
		all = append(all, n.name)
	}
	return all
}

// theyRekey: child and IKE SA of every protection, on strongSwan's command, and nothing is lost.
func (c *swan) theyRekey() {
	spokes := c.calm()
	var flows []*flow
	for _, n := range spokes {
		flows = append(flows, traffic(n, c.hub, 10))
	}
	c.theirs(spokes, "has other keys", func(_, child swanSA) string { return child.get("spi-in") }, "--rekey", "--child")
	c.theirs(spokes, "has another IKE SA", func(sa, _ swanSA) string { return sa.spis() }, "--rekey", "--ike")
	for _, f := range flows {
		f.end(c.scene)
	}
}

// theirs has strongSwan do something with each spoke, and wants something to be another then.
func (c *swan) theirs(spokes []*node, what string, of func(sa, child swanSA) string, command ...string) {
	c.t.Helper()
	all, err := c.hub.sas()
	if err != nil {
		c.t.Fatal(err)
	}
	before := map[string]string{}
	for _, n := range spokes {
		if sa, child, err := only(all[n.name]); err == nil {
			before[n.name] = of(sa, child)
		}
	}
	c.hub.swanctlEach(names(spokes), command...)
	c.eachOf(spokes, 20*time.Second, what, c.one(func(n *node, sa, child swanSA) error {
		if of(sa, child) == before[n.name] {
			return fmt.Errorf("the same as before")
		}
		return nil
	}))
}

// watch is what is seen of restless spokes, whose SAs live for seconds at our end or at both, under traffic.
type watch struct {
	*swan
	spokes     []*node
	flows      []*flow
	mutex      sync.Mutex
	keys, ikes map[string]map[string]bool // by spoke, the SPIs of the SAs that it had
	over, done chan struct{}
}

// watch begins to look, once a second.
func (c *swan) watch() *watch {
	w := &watch{
		swan: c, keys: map[string]map[string]bool{}, ikes: map[string]map[string]bool{},
		over: make(chan struct{}), done: make(chan struct{}),
	}
	for _, n := range c.spokes {
		if n.protect.restless {
			w.spokes = append(w.spokes, n)
			w.keys[n.name], w.ikes[n.name] = map[string]bool{}, map[string]bool{}
		}
	}
	go w.look()
	return w
}

func (w *watch) look() {
	defer close(w.done)
	for {
		select {
		case <-w.over:
			return
		case <-time.After(time.Second):
		}
		if all, err := w.hub.sas(); err == nil {
			w.note(all)
		}
	}
}

func (w *watch) note(all map[string][]swanSA) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, n := range w.spokes {
		for _, sa := range all[n.name] {
			if sa.get("state") == "ESTABLISHED" {
				w.ikes[n.name][sa.spis()] = true
			}
			for _, child := range sa.children("INSTALLED") {
				w.keys[n.name][child.get("spi-in")] = true
			}
		}
	}
}

// underTraffic begins to send.
func (w *watch) underTraffic() {
	for _, n := range w.spokes {
		w.flows = append(w.flows, traffic(n, w.hub, 50))
	}
}

// rekeyed: rekeyings of ours, and in one case of both ends, that may meet.
func (w *watch) rekeyed() {
	w.eachOf(w.spokes, 60*time.Second, "was rekeyed twice, its IKE SA once", func() check {
		return func(n *node) error {
			w.mutex.Lock()
			defer w.mutex.Unlock()
			if keys, ikes := len(w.keys[n.name]), len(w.ikes[n.name]); keys < 3 || ikes < 2 {
				return fmt.Errorf("%d SPIs and %d IKE SAs", keys, ikes)
			}
			return nil
		}
	})
	for _, f := range w.flows {
		f.end(w.scene)
	}
	close(w.over)
	<-w.done
	w.eachOf(w.spokes, 10*time.Second, "has one of each", w.one(nil))
}

// single wants strongSwan to have one IKE SA with a spoke, and one child SA.
func (c *swan) single(n *node) func() error {
	return func() error { _, _, err := c.hub.one(n.name); return err }
}

// none wants strongSwan to have nothing of a spoke.
func (c *swan) none(n *node) func() error {
	return func() error {
		if all, err := c.hub.sas(); err != nil || len(all[n.name]) != 0 {
			return fmt.Errorf("%v %v", all[n.name], err)
		}
		return nil
	}
}

// initiation begins with each connection, given with the number of the IKE SA that it has, and then closes that.
const initiation = `status=0
for pair; do
	name=${pair%:*}
	swanctl --initiate --ike "$name" --child "$name" --timeout 10 || { echo "of $name"; status=1; }
	swanctl --terminate --ike-id "${pair#*:}" # unless we did, as there is another
done
exit $status`

// theyInitiate: the other role for every protection. The SA that was is then closed, and the new one carries on.
func (c *swan) theyInitiate() {
	spokes := c.calm()
	all, err := c.hub.sas()
	if err != nil {
		c.t.Fatal(err)
	}
	argv := []string{"bash", "-c", initiation, "initiate"}
	for _, n := range spokes {
		old, _, err := only(all[n.name])
		if err != nil {
			c.t.Error(err)
			continue
		}
		argv = append(argv, n.name+":"+old.get("uniqueid"))
	}
	if out, err := c.hub.run(argv...); err != nil {
		c.t.Errorf("%v: %s\n%s", err, out, c.hub.charonLog(15))
	}
	c.eachOf(spokes, 20*time.Second, "has what strongSwan began", c.one(func(_ *node, sa, _ swanSA) error {
		if sa.get("initiator") != "yes" {
			return fmt.Errorf("strongSwan did not begin it: %v", sa)
		}
		return nil
	}))
	c.eachOf(spokes, 20*time.Second, "reaches the hub by it", c.reaches(10, "-i", "0.1"))
	c.eachOf(spokes, 5*time.Second, "shows its role", func() check { return func(n *node) error { return began(n, "responder") } })
}

// began: we show one IKE SA that is established, and have the given role in it.
func began(n *node, role string) error {
	all, err := n.ikeSAs()
	all = slices.DeleteFunc(all, func(r ike.IKERow) bool { return r.State != "established" }) // what we began ourselves
	if err != nil || len(all) != 1 || all[0].Role != role {
		return fmt.Errorf("%v, %+v", err, all)
	}
	return nil
}

// theyDelete: strongSwan closes child SAs, then IKE SAs; NHRP still needs its hub, so each comes back.
func (c *swan) theyDelete() {
	for _, what := range []string{"--child", "--ike"} {
		c.hub.swanctlEach(names(c.spokes), "--terminate", what)
		c.each(30*time.Second, "is back after "+what, c.reaches(3, "-i", "0.2"))
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
	c.each(90*time.Second, "is back", c.reaches(3, "-i", "0.2"))
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
	c.each(20*time.Second, "is as before", c.reaches(3, "-i", "0.2"))
}
