package nhrp

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// CacheRow is one row of `show nhrp`.
type CacheRow struct {
	Interface    string     `json:"interface"`
	Type         string     `json:"type"` // local static dynamic incomplete negative
	Protocol     netip.Addr `json:"protocol"`
	PrefixLength int        `json:"prefixLength" table:"length"`
	NBMA         string     `json:"nbma"` // address, or address:port behind an encapsulation with ports
	ClaimedNBMA  string     `json:"claimedNbma" table:",optional"`
	Flags        []string   `json:"flags"` // words: unique, nhs, registered, nat, used, …
	Identity     string     `json:"identity" table:",optional"`
	ExpiresIn    float64    `json:"expiresIn"` // seconds; -1 = never
}

// ShortcutRow is one row of `show shortcuts`.
type ShortcutRow struct {
	Interface string       `json:"interface"`
	Type      string       `json:"type"` // dynamic incomplete negative
	Prefix    netip.Prefix `json:"prefix"`
	Via       netip.Addr   `json:"via"`
	NBMA      string       `json:"nbma"`
	Identity  string       `json:"identity" table:",optional"`
	ExpiresIn float64      `json:"expiresIn"` // seconds
	Reason    string       `json:"reason,omitempty" table:",optional"`
}

// PeerRow is one row of `show peers`.
type PeerRow struct {
	Interface string     `json:"interface"`
	Protocol  netip.Addr `json:"protocol"`
	NBMA      string     `json:"nbma"`
	Role      string     `json:"role"`  // hub spoke
	Path      string     `json:"path"`  // direct via-hub
	State     string     `json:"state"` // resolving protecting registering up waiting probing refused …
	Identity  string     `json:"identity" table:",optional"`
	MTU       int        `json:"mtu" table:",optional,empty=-"` // octets of the outer packet that fit on the way; 0 = unknown
	RTT       float64    `json:"rtt"`                           // seconds; 0 = unknown
	UpFor     float64    `json:"upFor"`                         // seconds
	Reason    string     `json:"reason" table:",optional"`

	SA dataplane.SA `json:"-"` // what protects the way; 0 = nothing
}

// Stage is one step on the way to a peer, for `why`.
type Stage struct {
	Name   string `json:"name"` // resolve server, underlay route, protection, registered, resolution, adjacency, path
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`

	// Whose protection a stage named [StageProtection] is about: IKE knows more of it.
	NBMA netip.Addr   `json:"-"`
	SA   dataplane.SA `json:"-"` // 0 when there is none
}
