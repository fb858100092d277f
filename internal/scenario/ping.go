package scenario

import (
	"net/netip"
	"slices"
	"time"
)

// Ping asks for echo requests.
type Ping struct {
	To           netip.Addr
	From         netip.Addr // source; the zero Addr leaves the choice to the node
	Count        int        // 0 = until stopped
	Interval     time.Duration
	Timeout      time.Duration // for an answer, after the last request
	Size         int           // octets of ICMP payload
	TTL          int           // 0 = the node's default
	DontFragment bool
	Protocol     Protocol
	Flows        int // that the requests are dealt to in turn; of UDP alone more than one
}

// Protocol is what echo requests travel in.
type Protocol string

const (
	ICMP Protocol = "icmp"
	UDP  Protocol = "udp" // to a port that sends everything back
	TCP  Protocol = "tcp" // so, over one connection: nothing is lost there, it is late
)

// Echo is one request and what came of it.
type Echo struct {
	Sent     time.Duration // on the world's clock
	RTT      time.Duration
	TTL      int // of the answer
	Answered bool
}

// PingResult is what came of a [Ping]: one Echo per request, in the order of sending.
type PingResult struct {
	Echoes     []Echo
	Flows      int  // they were dealt to in turn; 0 is 1
	Stream     bool // over one connection, where nothing is lost but late
	Duplicates int
	Errors     []string // ICMP errors and refusals to send, each kind once: "destination unreachable from 10.0.0.1"
}

// Sent counts the requests.
func (r PingResult) Sent() int { return len(r.Echoes) }

// Received counts the requests that were answered.
func (r PingResult) Received() int {
	n := 0
	for _, e := range r.Echoes {
		if e.Answered {
			n++
		}
	}
	return n
}

// Lost counts the requests that were not answered.
func (r PingResult) Lost() int { return r.Sent() - r.Received() }

// Outage is the longest time of a flow from a request that was lost to the next that was answered, or to the last one;
// of a stream also the longest that an answer took.
func (r PingResult) Outage() time.Duration {
	var longest time.Duration
	for _, e := range r.Echoes {
		if r.Stream {
			longest = max(longest, e.RTT)
		}
	}
	for flow := range max(r.Flows, 1) {
		longest = max(longest, r.outageOf(flow))
	}
	return longest
}

func (r PingResult) outageOf(flow int) time.Duration {
	var longest, from time.Duration
	broken := false
	for k := flow; k < len(r.Echoes); k += max(r.Flows, 1) {
		e := r.Echoes[k]
		if !e.Answered && !broken {
			broken, from = true, e.Sent
		}
		if broken {
			longest = max(longest, e.Sent-from)
		}
		broken = broken && !e.Answered
	}
	return longest
}

// Best is the shortest round trip time; 0 when nothing was answered.
func (r PingResult) Best() time.Duration {
	var best time.Duration
	for _, e := range r.Echoes {
		if e.Answered && (best == 0 || e.RTT < best) {
			best = e.RTT
		}
	}
	return best
}

// Median is the median round trip time of the answered requests.
func (r PingResult) Median() time.Duration {
	var all []time.Duration
	for _, e := range r.Echoes {
		if e.Answered {
			all = append(all, e.RTT)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
