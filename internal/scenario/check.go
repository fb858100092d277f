package scenario

import (
	"fmt"
	"net/netip"
	"regexp"
)

// nameShape leaves room in the name of a namespace, and nothing that a shell or a path would take for more.
var nameShape = regexp.MustCompile(`^[a-z][a-z0-9-]{0,23}$`)

// check says what does not fit together in a file whose parts are each right.
func (r *reader) check(f *File) {
	if len(f.Nodes) == 0 {
		r.whole("a scenario needs nodes")
	}
	seen := map[string]bool{}
	for _, name := range append(f.networkNames(), f.nodeNames()...) {
		if !nameShape.MatchString(name) {
			r.whole("%q cannot be a name: want small letters, digits and dashes, at most 24", name)
		}
		if seen[name] {
			r.whole("%q names two things; nodes and networks share their names", name)
		}
		seen[name] = true
	}
	r.checkAddresses(f)
}

func (r *reader) whole(format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) checkAddresses(f *File) {
	type place struct {
		network string
		addr    netip.Addr
	}
	owner := map[place]string{}
	for _, n := range f.Nodes {
		for _, i := range n.Interfaces {
			for _, p := range i.Addresses {
				at, who := place{i.Network, p.Addr()}, n.Name+":"+i.Name
				if other := owner[at]; other != "" {
					r.whole("%s: %s is also the address of %s", who, p.Addr(), other)
				}
				owner[at] = who
				if f.Network(i.Network).Kind == Provider && Gateway(p) == p.Addr() {
					r.whole("%s: %s is the provider's own address on %s; use another of it", who, p.Addr(), p.Masked())
				}
			}
		}
	}
}
