package sim

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/scenario"
)

// icmpHeader is the size of an echo's header, in octets.
const icmpHeader = 8

// defaultTTL is Linux's.
const defaultTTL = 64

// ping is a series of echo requests of one node.
type ping struct {
	node   *Node
	id     uint16
	ask    scenario.Ping
	result scenario.PingResult
	from   netip.Addr // who answered or complained last
	ended  bool
}

// startPing begins to send; the first request leaves now.
func (n *Node) startPing(ask scenario.Ping) (*ping, error) {
	if ask.From.IsValid() && n.local[ask.From] == nil {
		return nil, errors.New(ask.From.String() + " is no address of " + n.Name)
	}
	if ask.Protocol == scenario.TCP {
		return nil, notHere("tcp")
	}
	if ask.Interval <= 0 {
		ask.Interval = time.Second
	}
	n.echoID++
	p := &ping{node: n, id: n.echoID, ask: ask, result: scenario.PingResult{Flows: ask.Flows}}
	n.echoes[p.id] = p
	p.send()
	return p, nil
}

func (p *ping) send() {
	if p.ended || p.ask.Count > 0 && len(p.result.Echoes) >= p.ask.Count {
		return
	}
	w := p.node.world
	seq := uint32(len(p.result.Echoes))
	p.result.Echoes = append(p.result.Echoes, scenario.Echo{Sent: w.Now()})
	if !p.node.send(p.request(seq)) {
		p.remark("network unreachable")
	}
	w.clock.after(p.ask.Interval, p.send)
}

func (p *ping) request(seq uint32) *dataplane.Datagram {
	ttl := p.ask.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	return &dataplane.Datagram{
		Source: p.ask.From, Destination: p.ask.To, TTL: uint8(ttl), DF: p.ask.DontFragment,
		Size: dataplane.HeaderLen(p.ask.To) + icmpHeader + p.ask.Size, Body: p.body(seq),
	}
}

// echoPort is the UDP port of the echo service, RFC 862, which every simulated node has.
const echoPort = 7

// body is an echo request, in UDP from the port of the flow whose turn it is.
func (p *ping) body(seq uint32) any {
	e := dataplane.Echo{ID: p.id, Seq: seq}
	if p.ask.Protocol != scenario.UDP {
		return e
	}
	flow := seq % uint32(max(p.ask.Flows, 1))
	return dataplane.UDP{SourcePort: 20000 + p.id*100 + uint16(flow), DestinationPort: echoPort, Body: e}
}

// answered is the way back of an echo, or of an error about it.
func (n *Node) answered(e dataplane.Echo, d *dataplane.Datagram, problem *dataplane.ICMPError) {
	p := n.echoes[e.ID]
	if p == nil || int(e.Seq) >= len(p.result.Echoes) {
		return
	}
	p.from = d.Source
	if problem != nil {
		p.remark(problem.Kind.String() + " from " + d.Source.String())
		return
	}
	echo := &p.result.Echoes[e.Seq]
	if echo.Answered {
		p.result.Duplicates++
		return
	}
	echo.Answered, echo.RTT, echo.TTL = true, n.world.Now()-echo.Sent, int(d.TTL)
}

func (p *ping) remark(problem string) {
	if !slices.Contains(p.result.Errors, problem) {
		p.result.Errors = append(p.result.Errors, problem)
	}
}

// complete reports whether all requests were sent and answered.
func (p *ping) complete() bool {
	return p.ask.Count > 0 && len(p.result.Echoes) >= p.ask.Count && p.result.Lost() == 0
}

// finish ends the sending and waits for late answers.
func (p *ping) finish() scenario.PingResult {
	w := p.node.world
	if p.ask.Count > 0 {
		last := time.Duration(p.ask.Count-1) * p.ask.Interval
		w.runUntil(w.Now()+last+p.patience(), p.complete)
	} else {
		p.ended = true
		w.runUntil(w.Now()+p.patience(), func() bool { return p.result.Lost() == 0 })
	}
	p.ended = true
	delete(p.node.echoes, p.id)
	return p.result
}

func (p *ping) patience() time.Duration {
	if p.ask.Timeout > 0 {
		return p.ask.Timeout
	}
	return 2 * time.Second
}

// path finds the routers on the way by echo requests with a TTL of 1, 2, 3 and so on, three of each at most.
func (n *Node) path(t scenario.Trace) ([]netip.Addr, error) {
	var hops []netip.Addr
	for ttl := 1; ttl <= t.MaxTTL; ttl++ {
		hop, err := n.hop(t, ttl)
		if err != nil {
			return hops, err
		}
		hops = append(hops, hop)
		if hop == t.To {
			return hops, nil
		}
	}
	return hops, nil
}

const tracesPerHop = 3

func (n *Node) hop(t scenario.Trace, ttl int) (netip.Addr, error) {
	for range tracesPerHop {
		p, err := n.startPing(scenario.Ping{To: t.To, From: t.From, Count: 1, TTL: ttl})
		if err != nil {
			return netip.Addr{}, err
		}
		w := n.world
		w.runUntil(w.Now()+t.Timeout, func() bool { return p.from.IsValid() })
		p.ended = true
		delete(n.echoes, p.id)
		if p.from.IsValid() {
			return p.from, nil
		}
	}
	return netip.Addr{}, nil
}
