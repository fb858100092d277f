package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/scenario"
)

// Flows counts echo requests between LANs, and the answers.
type Flows struct{ Sent, Answered int }

// How long the parts of a story take, the trouble excepted.
const (
	bootTime  = 2 * time.Second           // within which the spokes start
	settle    = 100 * time.Second         // the longest retry, and some refreshes
	idleTime  = 4 * holdTime              // without traffic, so that shortcuts age out
	emptyTime = holdTime + 12*time.Minute // the longest that a failed resolution is remembered
	pingEvery = 2 * time.Second           // of a flow
	pings     = 5                         // of a short flow
	longPings = 60                        // of a long one, which outlives a holding time
	lateReply = 3 * time.Second           // as long as an answer may take
)

// play tells the whole story: trouble, calm, silence, end. check is asked in between whether all is as it should be.
func (c *cloud) play(k *checker) {
	c.boot()
	c.trouble()
	c.run(c.Duration)
	c.calm()
	c.run(settle)
	c.run(time.Duration(longPings) * pingEvery) // the last of the long flows
	k.converged()
	k.agreed(true)
	c.flowsNow(min(c.Spokes, 50))
	before := c.flows
	c.run(pings*pingEvery + lateReply)
	k.delivered(before, c.flows)
	c.run(idleTime)
	k.idle()
	c.leave()
	c.run(emptyTime)
	k.empty()
}

func (c *cloud) run(d time.Duration) { c.world.Run(d) }

func (c *cloud) boot() {
	for _, n := range c.hubs {
		c.start(n)
	}
	for _, n := range c.spokes {
		c.world.clock.after(upTo(c.chance, bootTime), func() { c.start(n) })
	}
	c.run(bootTime)
}

// start starts a router that does not run.
func (c *cloud) start(n *Node) {
	if n.router == nil {
		n.start()
	}
}

// trouble sets everything that will happen during the duration.
func (c *cloud) trouble() {
	for k := range 2 * c.Spokes {
		n := pings
		if k%8 == 0 {
			n = longPings
		}
		c.sometime(c.chance, func() { c.flow(c.anySpoke(), c.anySpoke(), n) })
	}
	for range c.Partitions {
		c.sometime(c.chance, c.partition)
	}
	for range c.Restarts {
		c.sometime(c.chance, c.restart)
	}
	for range c.Freezes {
		c.sometime(c.chance, c.freeze)
	}
	for range c.Flaps {
		c.sometime(c.chance, c.flap)
	}
	for range c.Clears {
		c.sometime(c.chance, c.clear)
	}
	for k := range c.Moves {
		c.sometime(c.chance, func() { c.move(k) })
	}
	clocks := c.world.chance("wall clocks") // of its own: a step must not change anything else
	for range c.ClockSteps {
		c.sometime(clocks, func() { c.spokes[clocks.IntN(len(c.spokes))].wall += upTo(clocks, 2*time.Hour) - time.Hour })
	}
	if c.HubLoss {
		c.world.clock.after(c.Duration/2, c.hubs[0].kill)
		c.world.clock.after(c.Duration*3/4, c.returnHub)
	}
}

// returnHub starts the lost hub again, at another address when there is a name to find it by.
func (c *cloud) returnHub() {
	n := c.hubs[0]
	if c.Names {
		c.readdress(n, c.underlay(100))
		c.world.Names[n.Name] = Name{Addrs: []netip.Addr{n.nbma}, TTL: nameTTL}
	}
	c.start(n)
}

func (c *cloud) sometime(chance *rand.Rand, do func()) {
	c.world.clock.after(upTo(chance, c.Duration), do)
}

func upTo(chance *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(chance.Int64N(max(int64(d), 1)))
}

func (c *cloud) anySpoke() int { return c.chance.IntN(len(c.spokes)) }

// flow sends some echo requests from one LAN to another.
func (c *cloud) flow(from, to, count int) {
	if from == to || c.spokes[from].router == nil {
		return
	}
	p, err := c.spokes[from].startPing(scenario.Ping{From: lanHost(from), To: lanHost(to), Count: count, Interval: pingEvery, Size: 56})
	if err != nil {
		return
	}
	c.world.clock.after(time.Duration(count)*pingEvery+lateReply-time.Second, func() {
		p.ended = true
		delete(p.node.echoes, p.id)
		c.flows.Sent += p.result.Sent()
		c.flows.Answered += p.result.Received()
	})
}

func (c *cloud) flowsNow(n int) {
	for range n {
		c.flow(c.anySpoke(), c.anySpoke(), pings)
	}
}

// partition cuts some spokes, and perhaps a hub, off from the others for a while.
func (c *cloud) partition() {
	sides := map[*Interface]int{}
	for _, n := range c.spokes {
		if i := n.byName["eth0"]; c.chance.IntN(3) == 0 && i.net == c.internet {
			sides[i] = 1
		}
	}
	if c.chance.IntN(2) == 0 {
		sides[c.hubs[c.chance.IntN(len(c.hubs))].byName["eth0"]] = 1
	}
	c.internet.sides = sides
	c.world.clock.after(upTo(c.chance, 90*time.Second), func() { c.internet.sides = nil })
}

// restart kills a spoke or stops it, and starts it again later.
func (c *cloud) restart() {
	n := c.spokes[c.anySpoke()]
	if c.chance.IntN(2) == 0 {
		n.kill()
	} else {
		n.stop()
	}
	c.world.clock.after(upTo(c.chance, 40*time.Second), func() { c.start(n) })
}

// freeze lets a router stand still: when it goes on, all its timers are late.
func (c *cloud) freeze() {
	n := c.spokes[c.anySpoke()]
	if c.chance.IntN(8) == 0 {
		n = c.hubs[c.chance.IntN(len(c.hubs))]
	}
	n.freeze()
	c.world.clock.after(upTo(c.chance, 45*time.Second), n.thaw)
}

// flap takes a spoke's underlay interface down for a while. One behind a translator keeps it: it would lose the
// default route, as on Linux.
func (c *cloud) flap() {
	k := c.anySpoke()
	if c.hidden(k) {
		return
	}
	n := c.spokes[k]
	i := n.byName["eth0"]
	i.down = true
	n.tell(i)
	c.world.clock.after(upTo(c.chance, 20*time.Second), func() {
		i.down = false
		n.tell(i)
	})
}

// clear is an operator who clears what some router has learned.
func (c *cloud) clear() {
	n := c.spokes[c.anySpoke()]
	if c.chance.IntN(8) == 0 {
		n = c.hubs[c.chance.IntN(len(c.hubs))]
	}
	what := []string{"nhrp", "shortcuts"}[c.chance.IntN(2)]
	n.router.post(nhrp.Name, core.Request{Body: nhrp.Clear{What: what, Count: new(int)}})
}

// move gives a spoke another underlay address, as a provider does over night.
func (c *cloud) move(k int) {
	if s := c.anySpoke(); !c.hidden(s) {
		c.readdress(c.spokes[s], c.underlay(1<<14+k))
	}
}

func (c *cloud) readdress(n *Node, to netip.Addr) {
	n.former = append(n.former, former{n.nbma, c.world.Now()})
	n.nbma = to
	i := n.byName["eth0"]
	i.setAddresses([]netip.Prefix{site(to)})
	n.tell(i)
}

// calm ends all trouble.
func (c *cloud) calm() {
	c.internet.sides = nil
	for _, port := range c.internet.ports {
		port.link.Loss, port.link.Duplicate, port.link.Reorder = 0, 0, 0
	}
	for _, n := range append(c.hubs[:len(c.hubs):len(c.hubs)], c.spokes...) {
		n.thaw()
		c.start(n)
	}
}

// leave ends the spokes: every other one says goodbye.
func (c *cloud) leave() {
	for k, n := range c.spokes {
		if k%2 == 0 {
			n.stop()
		} else {
			n.kill()
		}
	}
}

// Command is how to play exactly this again.
func (o Options) Command() string {
	s := fmt.Sprintf("spokeway sim generate --seed %d --hubs %d --spokes %d --duration %s", o.Seed, o.Hubs, o.Spokes, o.Duration)
	add := func(on bool, format string, args ...any) {
		if on {
			s += fmt.Sprintf(" "+format, args...)
		}
	}
	add(o.Loss > 0, "--loss %g", o.Loss)
	add(o.Reorder > 0, "--reorder %g", o.Reorder)
	add(o.Duplicate > 0, "--duplicate %g", o.Duplicate)
	add(o.Partitions > 0, "--partitions %d", o.Partitions)
	add(o.ClockSteps > 0, "--clock-steps %d", o.ClockSteps)
	add(o.Freezes > 0, "--freezes %d", o.Freezes)
	add(o.Restarts > 0, "--restarts %d", o.Restarts)
	add(o.Moves > 0, "--moves %d", o.Moves)
	add(o.Flaps > 0, "--flaps %d", o.Flaps)
	add(o.Clears > 0, "--clears %d", o.Clears)
	add(o.HubLoss, "--hub-loss")
	add(o.Phase2, "--phase2")
	add(o.IPv6, "--ipv6")
	add(o.Names, "--names")
	add(o.Clusters, "--clusters")
	add(o.NAT, "--nat")
	add(o.HostMask, "--host-mask")
	add(o.Protect, "--protect")
	return s
}
