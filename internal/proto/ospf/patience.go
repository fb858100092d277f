package ospf

import (
	"time"

	"github.com/spokeway/spokeway/internal/core"
)

// leastPatience is what a neighbour that answers fast is waited for all the same: it may be busy.
const leastPatience = 500 * time.Millisecond

// question is a description or a request that the neighbour has to answer.
type question struct {
	asked time.Duration
	again bool // it was repeated: an answer does not say how long it took
}

// patience is how long an answer is waited for before the question is repeated: RxmtInterval, which is set for any neighbour
// and any path (RFC 2328 appendix C.3), until the neighbour has shown how fast it answers. A database of 10,000 LSAs is
// hundreds of questions: with one answer of a hundred lost, it would be waiting that takes the time.
func (n *neighbor) patience() time.Duration {
	if n.pace == 0 {
		return n.i.cfg.Retransmit
	}
	return min(n.pace, n.i.cfg.Retransmit)
}

// learn takes the time of an answer into account: at once when it is longer than before, else by and by.
func (n *neighbor) learn(env *core.Env, q question) {
	if !q.again {
		n.pace = max(leastPatience, 4*(env.Now()-q.asked), n.pace*3/4)
	}
}

// loses doubles the time, so that a neighbour that is late because it has too much to do is not given more.
func (n *neighbor) loses() { n.pace = min(2*n.pace, n.i.cfg.Retransmit) }
