package nhrp

import (
	"github.com/spokeway/spokeway/internal/dataplane"
)

// place is whom packets come from and go to. On a protected tunnel that is an SA, and nothing else: it has proved who it
// is, it stays when its endpoint changes, and two of them may share an address behind a NAT. In clear it is an endpoint.
// Equal places are one peer.
type place struct {
	sa dataplane.SA
	at dataplane.Endpoint // the zero value with an SA
}

// from is the place a packet came from.
func (t *tunnel) from(ev dataplane.Received) place { return t.place(ev.SA, ev.From) }

func (t *tunnel) place(sa dataplane.SA, at dataplane.Endpoint) place {
	if t.link.Protected {
		return place{sa: sa}
	}
	return place{at: at}
}

// where is the endpoint of a place: with an SA what IKE told of it last, the zero value when it is gone.
func (t *tunnel) where(p place) dataplane.Endpoint {
	if p.sa == 0 {
		return p.at
	}
	if a := t.m.sas[p.sa]; a != nil {
		return a.Remote
	}
	return dataplane.Endpoint{}
}

// show is a place as people read it.
func (t *tunnel) show(p place) string { return show(t.where(p)) }

// show is an endpoint as people read it: without a port where there is none.
func show(e dataplane.Endpoint) string {
	switch {
	case !e.IsValid():
		return "nowhere"
	case e.Port() == 0:
		return e.Addr().String()
	}
	return e.String()
}
