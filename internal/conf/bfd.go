package conf

import (
	"time"

	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/static"
)

const trackBFD = static.TrackBFD

func setTrack(r *Route, n *node) error {
	if n.kind != text || n.text != trackBFD {
		return wrong{"want " + trackBFD, near(n.text, []string{trackBFD})}
	}
	r.Track = n.text
	return nil
}

var bfdKeys = section[bfd.Parameters]{
	{"interval", printDuration(bfd.DefaultInterval), "time between two packets, each way; of the two ends the slower decides. Below 300ms BFD runs in a process of its own, which begins with the daemon: restart it to go there",
		milliseconds(bfd.LeastInterval, time.Minute, func(p *bfd.Parameters) *time.Duration { return &p.Interval })},
	{"multiplier", "3", "packets that may be missed before the path has failed",
		count(1, 255, func(p *bfd.Parameters) *uint8 { return &p.Multiplier })},
	{"demand", "off", "demand mode, RFC 5880 section 6.6: ask the peer this often and have it be silent otherwise. It saves packets, and a failure is noticed as late",
		milliseconds(time.Second, time.Hour, func(p *bfd.Parameters) *time.Duration { return &p.Demand })},
}

// bfdShape is a mapping, an empty one too: all of it has defaults.
var bfdShape = shape[Tunnel]{
	kind: "mapping",
	read: func(r *reader, n *node, path string, t *Tunnel) {
		t.BFD = &bfd.Parameters{Interval: bfd.DefaultInterval, Multiplier: bfd.DefaultMultiplier}
		bfdKeys.read(r, n, path, t.BFD)
	},
	write: func(t *Tunnel) *node {
		if t.BFD == nil {
			return nil
		}
		return bfdKeys.write(t.BFD)
	},
	rows: bfdKeys.rows,
}

// milliseconds is a duration finer than [duration]; 0 is absent.
func milliseconds[T any](lo, hi time.Duration, at func(*T) *time.Duration) shape[T] {
	parse := func(n *node) (time.Duration, error) {
		d, err := time.ParseDuration(n.text)
		switch {
		case n.kind == number && n.text != "0":
			return 0, wrong{"want a duration with its unit, such as 50ms or 1s", n.text + "ms"}
		case n.kind != text || err != nil:
			return 0, wrongf("want a duration such as 50ms or 1s")
		case d < lo || d > hi:
			return 0, wrongf("%s is out of range: want %s to %s", printDuration(d), printDuration(lo), printDuration(hi))
		case d%time.Millisecond != 0:
			return 0, wrongf("want whole milliseconds")
		}
		return d, nil
	}
	print := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return printDuration(d)
	}
	return scalar("duration, "+printDuration(lo)+" to "+printDuration(hi), text, at, parse, print)
}

// FastestBFD is the shortest interval between BFD packets on any tunnel and to any routing neighbour; false without BFD.
func (c *Config) FastestBFD() (d time.Duration, ok bool) {
	for _, t := range c.Tunnels {
		if t.BFD != nil && (!ok || t.BFD.Interval < d) {
			d, ok = t.BFD.Interval, true
		}
	}
	for _, i := range c.OSPFInstances() {
		for _, a := range i.Areas {
			for _, f := range a.Interfaces {
				if f.Liveness != nil && (!ok || f.Liveness.Interval < d) {
					d, ok = f.Liveness.Interval, true
				}
			}
		}
	}
	return d, ok
}
