package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// wantDatabase reads the databases of all scopes.
func (p *player) wantDatabase(s hSet, o yang) {
	p.wantScope(s, "as", o, "as")
	for _, a := range yList(o, "areas", "area") {
		p.wantScope(s, "area "+yText(a, "area-id"), a, "area")
		for _, f := range yList(a, "interfaces", "interface") {
			p.wantScope(s, "link "+yText(f, "name"), f, "link")
		}
	}
}

func (p *player) wantScope(s hSet, scope string, d yang, word string) {
	for _, kind := range yList(d, "database", word+"-scope-lsa-type") {
		for _, l := range yList(kind, word+"-scope-lsas", word+"-scope-lsa") {
			id, err := netip.ParseAddr(yText(l, "lsa-id"))
			if err != nil {
				id = wire.Addr4(uint32(yNum(l, "lsa-id")))
			}
			k := wire.LSAKey{Type: wire.LSAType(yNum(kind, "lsa-type")), ID: wire.Uint4(id), Router: hRouter(yText(l, "adv-router"))}
			lsa := hMap(l["ospfv2"])
			if p.v != wire.V2 {
				lsa = hMap(l["ospfv3"])
			}
			octets := yNum(lsa, "header", "length")
			empty := k.Router == p.router && k.Type.Function(p.v) == wire.FunctionIntraAreaPrefix && octets == 32
			if !p.ignores(k) && !empty {
				s.add("%s: %s of %d octets%s", scope, p.key(k), octets, hWantBody(hMap(lsa["body"])))
			}
		}
	}
}

func (p *player) gotDatabase(s hSet) {
	for _, db := range p.databases() {
		for k, e := range db.lsas {
			if !p.ignores(k) {
				s.add("%s: %s of %d octets%s", db.scopeName(), p.key(k), e.Header.Length, hGotBody(p.v, e.Body))
			}
		}
	}
}

// hParts is a body in words that both sides can say: its parts in order.
func hParts(parts []string) string {
	slices.Sort(parts)
	text := ","
	for _, p := range parts {
		text += " " + p + ","
	}
	return text
}

var hFlagNames = map[string]uint8{"abr-bit": wire.RouterB, "asbr-bit": wire.RouterE, "vlink-end-bit": wire.RouterV, "nssa-bit": wire.RouterNt}

func hWantBody(body yang) string {
	for kind, raw := range body {
		b := hMap(raw)
		switch kind {
		case "router":
			return hWantRouter(b)
		case "network":
			return hWantNetwork(b)
		case "summary", "router-summary":
			return hParts([]string{fmt.Sprint(yText(b, "network-mask"), " metric ", yNum(b, "topologies", "topology", "metric"))})
		case "external", "nssa":
			t := hMap(yAt(b, "topologies", "topology"))
			if l := yList(b, "topologies", "topology"); len(l) > 0 {
				t = l[0]
			}
			return hParts([]string{fmt.Sprint(yText(b, "network-mask"), " metric ", yNum(t, "metric"), " tag ", yNum(t, "external-route-tag"))})
		case "inter-area-prefix":
			return hParts([]string{fmt.Sprint(yText(b, "prefix"), " metric ", yNum(b, "metric"))})
		case "intra-area-prefix":
			return hParts(append(hWantPrefixes(b), yText(b, "referenced-adv-router")))
		case "link":
			return hParts(append(hWantPrefixes(b), fmt.Sprint("priority ", yNum(b, "rtr-priority")), yText(b, "link-local-interface-address")))
		}
	}
	return ""
}

func hWantRouter(b yang) string {
	flags, _ := yAt(b, "router-bits", "rtr-lsa-bits").([]any)
	var set uint8
	for _, f := range flags {
		set |= hFlagNames[strings.TrimPrefix(fmt.Sprint(f), "ietf-ospf:")]
	}
	parts := []string{fmt.Sprint("flags ", set)}
	for _, l := range yList(b, "links", "link") {
		if id := yText(l, "link-id"); id != "" {
			parts = append(parts, fmt.Sprint("link ", id, " ", yText(l, "link-data"), " ", yNum(l, "topologies", "topology", "metric")))
			continue
		}
		parts = append(parts, fmt.Sprint("link ", yNum(l, "interface-id"), " ", yText(l, "neighbor-router-id"), " ", yNum(l, "neighbor-interface-id"), " ", yNum(l, "metric")))
	}
	return hParts(parts)
}

func hWantNetwork(b yang) string {
	parts := []string{yText(b, "network-mask")}
	routers, _ := yAt(b, "attached-routers", "attached-router").([]any)
	for _, r := range routers {
		parts = append(parts, fmt.Sprint(r))
	}
	return hParts(parts)
}

func hWantPrefixes(b yang) (parts []string) {
	for _, p := range yList(b, "prefixes", "prefix") {
		parts = append(parts, hWantPrefix(p))
	}
	return parts
}

func hWantPrefix(b yang) string {
	return fmt.Sprint(yText(b, "prefix"), " metric ", yNum(b, "metric"), " host ", strings.Contains(fmt.Sprint(b["prefix-options"]), "la-bit"))
}

func hGotBody(v wire.Version, body wire.LSABody) string {
	switch b := body.(type) {
	case *wire.RouterLSA:
		parts := []string{fmt.Sprint("flags ", b.Flags)}
		for _, l := range b.Links {
			if v == wire.V2 {
				parts = append(parts, fmt.Sprint("link ", wire.Addr4(l.ID), " ", wire.Addr4(l.Data), " ", l.Metric))
				continue
			}
			parts = append(parts, fmt.Sprint("link ", l.Interface, " ", l.Neighbor, " ", l.NeighborInterface, " ", l.Metric))
		}
		return hParts(parts)
	case *wire.NetworkLSA:
		parts := []string{hMask(v, b.Mask)}
		for _, r := range b.Routers {
			parts = append(parts, r.String())
		}
		return hParts(parts)
	case *wire.Summary:
		if v == wire.V2 {
			return hParts([]string{fmt.Sprint(hMask(v, wire.Mask(b.Prefix.Bits())), " metric ", b.Metric)})
		}
		return hParts([]string{fmt.Sprint(b.Prefix, " metric ", b.Metric)})
	case *wire.SummaryRouter:
		return hParts([]string{fmt.Sprint(hMask(v, 0xffffffff), " metric ", b.Metric)})
	case *wire.External:
		return hParts([]string{fmt.Sprint(hMask(v, wire.Mask(b.Prefix.Bits())), " metric ", b.Metric, " tag ", b.Tag)})
	case *wire.IntraAreaPrefix:
		return hParts(append(hGotPrefixes(b.Prefixes), b.RefRouter.String()))
	case *wire.LinkLSA:
		return hParts(append(hGotPrefixes(b.Prefixes), fmt.Sprint("priority ", b.Priority), b.Address.String()))
	}
	return ""
}

func hMask(v wire.Version, mask uint32) string {
	if v != wire.V2 {
		return ""
	}
	return wire.Addr4(mask).String()
}

func hGotPrefixes(list []wire.PrefixEntry) (parts []string) {
	for _, p := range list {
		parts = append(parts, fmt.Sprint(p.Prefix, " metric ", p.Metric, " host ", p.Options&wire.PrefixLA != 0))
	}
	return parts
}
