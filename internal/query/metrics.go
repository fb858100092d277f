package query

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
)

// Metric is a metric drawn from the rows of a show command.
type Metric struct {
	Name   string
	Help   string
	Type   prometheus.ValueType
	Labels []string
	sample func(row any, emit emit)
}

// emit adds value to the series with these label values: rows with equal labels make one series.
type emit func(value float64, labels ...string)

func gauge[T any](name, help, labels string, sample func(T, emit)) Metric {
	return metric(name, help, labels, prometheus.GaugeValue, sample)
}

func counter[T any](name, help, labels string, sample func(T, emit)) Metric {
	return metric(name, help, labels, prometheus.CounterValue, sample)
}

func metric[T any](name, help, labels string, typ prometheus.ValueType, sample func(T, emit)) Metric {
	return Metric{
		Name: "spokeway_" + name, Help: help, Type: typ, Labels: strings.Fields(labels),
		sample: func(row any, e emit) { sample(row.(T), e) },
	}
}

func nhrpMetrics() []Metric {
	return []Metric{
		gauge("nhrp_entries", "entries of the NHRP cache", "interface type",
			func(r nhrp.CacheRow, e emit) { e(1, r.Interface, r.Type) }),
	}
}

func shortcutMetrics() []Metric {
	return []Metric{
		gauge("shortcuts", "shortcuts, usable ones being dynamic", "interface type",
			func(r nhrp.ShortcutRow, e emit) { e(1, r.Interface, r.Type) }),
	}
}

func peerMetrics() []Metric {
	return []Metric{
		gauge("peers", "peers by state", "interface role path state",
			func(r nhrp.PeerRow, e emit) { e(1, r.Interface, r.Role, r.Path, r.State) }),
		gauge("hub_up", "1 when we are registered with the hub", "interface nbma",
			func(r nhrp.PeerRow, e emit) {
				if r.Role == "hub" {
					e(truth(r.State == "up"), r.Interface, r.NBMA)
				}
			}),
		gauge("peer_rtt_seconds", "last measured round trip to a peer", "interface protocol nbma",
			func(r nhrp.PeerRow, e emit) {
				if r.RTT > 0 {
					e(r.RTT, r.Interface, r.Protocol.String(), r.NBMA)
				}
			}),
	}
}

func saMetrics() []Metric {
	return []Metric{
		gauge("sas", "peers by the state of their security associations", "profile state encapsulation",
			func(r ike.SARow, e emit) { e(1, r.Profile, r.State, r.Encapsulation) }),
		saCounter("sa_receive_packets_total", "packets received by a peer's SAs", func(r ike.SARow) uint64 { return r.PacketsIn }),
		saCounter("sa_receive_bytes_total", "bytes received by a peer's SAs", func(r ike.SARow) uint64 { return r.BytesIn }),
		saCounter("sa_transmit_packets_total", "packets sent by a peer's SAs", func(r ike.SARow) uint64 { return r.PacketsOut }),
		saCounter("sa_transmit_bytes_total", "bytes sent by a peer's SAs", func(r ike.SARow) uint64 { return r.BytesOut }),
		counter("sa_drops_total", "packets dropped at a peer's SAs, by reason", "profile remote identity reason",
			func(r ike.SARow, e emit) {
				for reason, n := range r.Drops {
					e(float64(n), r.Profile, r.Remote, r.RemoteID, reason)
				}
			}),
	}
}

func saCounter(name, help string, of func(ike.SARow) uint64) Metric {
	return counter(name, help, "profile remote identity",
		func(r ike.SARow, e emit) { e(float64(of(r)), r.Profile, r.Remote, r.RemoteID) })
}

func ikeMetrics() []Metric {
	return []Metric{
		gauge("ike_sas", "IKE SAs, peers that are being tried and those turned away, by state", "profile state role",
			func(r ike.IKERow, e emit) { e(1, r.Profile, r.State, r.Role) }),
	}
}

func bfdMetrics() []Metric {
	return []Metric{
		gauge("bfd_sessions", "watched paths by state", "interface state",
			func(r bfd.Row, e emit) { e(1, r.Interface, r.State) }),
	}
}

func ospfNeighborMetrics() []Metric {
	return []Metric{
		gauge("ospf_neighbors", "OSPF neighbours by state", "instance interface state",
			func(r ospf.NeighborRow, e emit) { e(1, r.Instance, r.Interface, r.State) }),
	}
}

func ospfDatabaseMetrics() []Metric {
	return []Metric{
		gauge("ospf_lsas", "LSAs by scope and type", "instance scope type",
			func(r ospf.DatabaseRow, e emit) { e(1, r.Instance, r.Scope, r.Type) }),
	}
}

func ospfProblemMetrics() []Metric {
	return []Metric{
		gauge("ospf_problems", "what `show ospf problems` lists", "instance interface problem",
			func(r ospf.ProblemRow, e emit) { e(1, r.Instance, r.Interface, r.Problem) }),
	}
}

// handshakes are the metrics of counters that package ike counts for them.
func handshakes(r CounterRow, e emit) {
	if r.Module == ike.Name && r.Name == ike.CountEstablished {
		e(float64(r.Value))
	}
}

func handshakeFailures(r CounterRow, e emit) {
	if class, ok := strings.CutPrefix(r.Name, ike.CountFailure); ok && r.Module == ike.Name {
		e(float64(r.Value), class)
	}
}

func routeMetrics() []Metric {
	return []Metric{
		gauge("routes", "routes offered by a protocol, and whether they are selected", "vrf protocol selected",
			func(r RouteRow, e emit) { e(1, r.VRF, r.Protocol, strconv.FormatBool(r.Selected)) }),
	}
}

func interfaceMetrics() []Metric {
	return []Metric{
		gauge("interface_up", "1 when the interface can carry traffic", "interface",
			func(r InterfaceRow, e emit) { e(truth(r.State == "up"), r.Name) }),
		gauge("interface_mtu_bytes", "largest packet the interface takes", "interface",
			func(r InterfaceRow, e emit) { e(float64(r.MTU), r.Name) }),
		counter("interface_receive_packets_total", "packets received", "interface",
			func(r InterfaceRow, e emit) { e(float64(r.PacketsIn), r.Name) }),
		counter("interface_receive_bytes_total", "bytes received", "interface",
			func(r InterfaceRow, e emit) { e(float64(r.BytesIn), r.Name) }),
		counter("interface_transmit_packets_total", "packets sent", "interface",
			func(r InterfaceRow, e emit) { e(float64(r.PacketsOut), r.Name) }),
		counter("interface_transmit_bytes_total", "bytes sent", "interface",
			func(r InterfaceRow, e emit) { e(float64(r.BytesOut), r.Name) }),
		counter("interface_drops_total", "packets dropped, by reason", "interface reason",
			func(r InterfaceRow, e emit) {
				for reason, n := range r.Drops {
					e(float64(n), r.Name, reason)
				}
			}),
	}
}

func timerMetrics() []Metric {
	return []Metric{
		gauge("timers", "timers armed", "module",
			func(r TimerRow, e emit) { e(1, r.Module) }),
	}
}

func counterMetrics() []Metric {
	return []Metric{
		counter("events_total", "what `show counters` counts", "module interface name",
			func(r CounterRow, e emit) { e(float64(r.Value), r.Module, r.Interface, r.Name) }),
		counter("ike_handshakes_total", "IKE SAs made with a peer that proved who it is", "", handshakes),
		counter("ike_handshake_failures_total", "attempts to make an IKE SA that failed, from either side, by the class of reason", "class",
			handshakeFailures),
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
