package ospf

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// Describe is what the LSA says, a line for each link, router or prefix of it. It reads nothing but the LSA, so that it
// can be asked for when the row has left the module.
func (r DatabaseRow) Describe() []string {
	switch b := r.Body.(type) {
	case *wire.RouterLSA:
		return routerContents(b)
	case *wire.NetworkLSA:
		return networkContents(b, r.Key)
	case *wire.Summary:
		return []string{fmt.Sprintf("%v cost %d", b.Prefix, b.Metric)}
	case *wire.SummaryRouter:
		return []string{fmt.Sprintf("boundary router %v cost %d", b.Router, b.Metric)}
	case *wire.External:
		return []string{externalContents(b)}
	case *wire.LinkLSA:
		return append([]string{fmt.Sprintf("%v priority %d", b.Address, b.Priority)}, prefixContents(b.Prefixes, false)...)
	case *wire.IntraAreaPrefix:
		return append([]string{"of " + r.referred(b)}, prefixContents(b.Prefixes, true)...)
	case *wire.Grace:
		return []string{fmt.Sprintf("restarts within %d s: %s", b.Period, graceReason(b.Reason))}
	case *wire.Opaque:
		return []string{strconv.Itoa(len(b.Data)) + " octets"}
	}
	return nil
}

func routerContents(b *wire.RouterLSA) (lines []string) {
	for _, f := range []struct {
		bit  uint8
		word string
	}{{wire.RouterB, "border router"}, {wire.RouterE, "boundary router"}, {wire.RouterV, "virtual link"}, {wire.RouterNt, "translates always"}} {
		if b.Flags&f.bit != 0 {
			lines = append(lines, f.word)
		}
	}
	for _, l := range b.Links {
		lines = append(lines, linkContents(l))
	}
	return lines
}

// linkContents is a link of either version: one of OSPFv3 has a neighbour, and numbers for interfaces.
func linkContents(l wire.Link) string {
	switch {
	case l.Neighbor != 0:
		return fmt.Sprintf("%v %v cost %d interface %d to %d", l.Kind, l.Neighbor, l.Metric, l.Interface, l.NeighborInterface)
	case l.Kind == wire.LinkStub:
		return fmt.Sprintf("stub %s cost %d", masked(l.ID, l.Data), l.Metric)
	}
	return fmt.Sprintf("%v %v by %v cost %d", l.Kind, wire.Addr4(l.ID), wire.Addr4(l.Data), l.Metric)
}

// networkContents is the network in OSPFv2, whose LS ID is the address of the designated router, and who is on it.
func networkContents(b *wire.NetworkLSA, k wire.LSAKey) (lines []string) {
	if b.Mask != 0 {
		lines = append(lines, masked(k.ID&b.Mask, b.Mask))
	}
	for _, r := range b.Routers {
		lines = append(lines, "router "+r.String())
	}
	return lines
}

// masked is an address and its mask as a prefix; a mask that has holes is written as it is.
func masked(address, mask uint32) string {
	if bits, ok := wire.MaskBits(mask); ok {
		return netip.PrefixFrom(wire.Addr4(address), bits).String()
	}
	return wire.Addr4(address).String() + " mask " + wire.Addr4(mask).String()
}

func externalContents(b *wire.External) string {
	text := fmt.Sprintf("%v type 1 cost %d", b.Prefix, b.Metric)
	if b.Type2 {
		text = fmt.Sprintf("%v type 2 cost %d", b.Prefix, b.Metric)
	}
	if b.Tag != 0 {
		text += " tag " + strconv.FormatUint(uint64(b.Tag), 10)
	}
	if b.Forward.IsValid() {
		text += " forward " + b.Forward.String()
	}
	if b.Propagate {
		text += " to be translated"
	}
	return text
}

func prefixContents(list []wire.PrefixEntry, costs bool) (lines []string) {
	for _, e := range list {
		text := e.Prefix.String()
		if costs {
			text += " cost " + strconv.Itoa(int(e.Metric))
		}
		lines = append(lines, text)
	}
	return lines
}

// referred names the LSA that prefixes of OSPFv3 belong to, RFC 5340 4.4.3.9.
func (r DatabaseRow) referred(b *wire.IntraAreaPrefix) string {
	if b.RefType.Function(wire.V3) == wire.FunctionNetwork {
		return fmt.Sprintf("network %v of %v", wire.Addr4(b.RefID), b.RefRouter)
	}
	return "router " + b.RefRouter.String()
}

func graceReason(reason uint8) string {
	words := [...]string{wire.GraceUnknown: "unknown", wire.GraceRestart: "software restart", wire.GraceReload: "software reload or upgrade", wire.GraceSwitch: "switch to a redundant processor"}
	if int(reason) < len(words) {
		return words[reason]
	}
	return "reason " + strconv.Itoa(int(reason))
}
