package ike

import (
	"bytes"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
)

// Children side by side, none made in the place of another. RFC 7296 section 2.8 allows them, here one is of use. They come
// about when both ends ask at once where there is none, and when a peer asks for another beside the one it has, as some do
// on their operator's command. Both ends then keep the same: of those that crossed the one with the higher nonces, as
// section 2.8.1 has it for rekeying; else the younger, which the peer asked for knowing the older.

// settle ends what is to spare, a moment after c was made: both ends have to know both.
func (c *child) settle(env *core.Env) {
	for _, o := range c.sa.children {
		if o.spare() {
			env.Arm(&o.soft, settleTime)
		}
	}
}

// spare reports whether another child does the same.
func (c *child) spare() bool {
	return c.successor == nil && c.rekeying == nil && slices.ContainsFunc(c.sa.children, func(o *child) bool {
		return o != c && !o.closing && !o.redundant && c.yields(o)
	})
}

// yields reports whether o is the one of the two to keep.
func (c *child) yields(o *child) bool {
	if c.since == o.since || c.crossed && o.crossed {
		return bytes.Compare(c.lowest, o.lowest) < 0
	}
	return c.since < o.since
}

// retire closes a child that is to spare. What we send goes by another from now on, for the peer may let in nothing more
// once it has read our Delete.
func (c *child) retire(env *core.Env) {
	if p := c.sa.peer; p != nil && p.active == c {
		for _, o := range slices.Backward(c.sa.children) {
			if o != c && !o.closing && !o.redundant && o.outbound != nil {
				p.send(env, o)
				break
			}
		}
	}
	c.close(env, "another child serves")
}

// crossing is our request for a child that the peer's crosses, nil when there is none.
func (s *sa) crossing() *rekeyChild {
	task, _ := s.childExchange()
	if t, ok := task.(*rekeyChild); ok && t.old == nil {
		return t
	}
	return nil
}
