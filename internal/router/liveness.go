package router

import (
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/bfdio"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// finest is the shortest interval between BFD packets that a thread of the router keeps on a busy host: with 1,000 sessions of
// 50 ms and the processors shared with twenty others it had thousands of false alarms, and a worker none.
const finest = 300 * time.Millisecond

// needsWorker tells whether BFD needs a process of its own.
func needsWorker(c *conf.Config) bool {
	d, ok := c.FastestBFD()
	return ok && d < finest
}

// watching is what runs BFD. A process of its own begins now, before the router gives up to start any.
func (r *Router) watching() bfdio.Options {
	o := bfdio.Options{Post: func(ev any) { r.post(bfd.Name, ev) }, Log: r.opts.Log}
	if needsWorker(r.opts.Config) {
		o.Worker = r.opts.Worker
	}
	return o
}

// watched are the interfaces whose neighbours are watched, and how.
func watched(c *conf.Config) bfd.Configure {
	out := bfd.Configure{Interfaces: map[string]bfd.Parameters{}}
	for _, t := range c.Tunnels {
		if t.BFD != nil {
			out.Interfaces[t.Name] = *t.BFD
		}
	}
	return out
}

// BFD is `show bfd`.
func (v View) BFD() []bfd.Row { return v.Modules.BFD.Snapshot(v.now()) }

// whyBFD tells of the sessions with a peer, which is named by its protocol or its NBMA address.
func (v View) whyBFD(peer string) (stages []nhrp.Stage) {
	var seen []string
	for _, r := range v.Peers() {
		name := r.Protocol.String()
		if r.NBMA != peer && name != peer || slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		for _, s := range v.Modules.BFD.Sessions(r.Protocol, v.now()) {
			stages = append(stages, stageOf(s))
		}
	}
	return stages
}

func stageOf(s bfd.Session) nhrp.Stage {
	stage := nhrp.Stage{Name: "bfd", State: "ok", Detail: s.Peer.String() + " on " + s.Interface + ": " + s.Reason}
	switch s.Status {
	case liveness.Down:
		stage.State = "failed"
	case liveness.Unknown, liveness.AdminDown:
		stage.State = "waiting"
		stage.Remedy = "nothing is torn down for it; for failures to be noticed in time the peer needs BFD as well"
	}
	return stage
}
