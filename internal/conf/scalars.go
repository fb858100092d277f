package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// custom is a value in one word: set reads it, get prints it ("" leaves the key out).
func custom[T any](name string, as kind, set func(*T, *node) error, get func(*T) string) shape[T] {
	return shape[T]{
		kind: name,
		read: func(r *reader, n *node, path string, to *T) {
			if err := set(to, n); err != nil {
				r.fail(path, n.at, under(path, err))
			}
		},
		write: func(from *T) *node {
			if s := get(from); s != "" {
				return &node{kind: as, text: s}
			}
			return nil
		},
	}
}

// scalar is a custom value that lives in one variable.
func scalar[T, V any](name string, as kind, at func(*T) *V, parse func(*node) (V, error), print func(V) string) shape[T] {
	set := func(to *T, n *node) error {
		v, err := parse(n)
		if err == nil {
			*at(to) = v
		}
		return err
	}
	return custom(name, as, set, func(from *T) string { return print(*at(from)) })
}

// under puts the name of the key before the message.
func under(path string, err error) error {
	var w wrong
	errors.As(err, &w)
	w.message = path[strings.LastIndex(path, ".")+1:] + ": " + err.Error()
	return w
}

func truth[T any](at func(*T) *bool) shape[T] {
	return scalar("true or false", boolean, at, parseBool, strconv.FormatBool)
}

func parseBool(n *node) (bool, error) {
	if n.kind == boolean {
		return strings.EqualFold(n.text, "true"), nil
	}
	w := wrong{message: fmt.Sprintf("want true or false, found %s", n.kind)}
	switch strings.ToLower(n.text) {
	case "yes", "on", "y", "true", "1", "enable", "enabled":
		w.suggestion = "true"
	case "no", "off", "n", "false", "0", "disable", "disabled":
		w.suggestion = "false"
	}
	return false, w
}

type integer interface {
	~int | ~uint8 | ~uint32 | ~uint64
}

// count is a whole number from lo to hi. Where 0 is out of range it means absent and is not printed.
func count[T any, N integer](lo, hi uint64, at func(*T) *N) shape[T] {
	print := func(v N) string {
		if v == 0 && lo > 0 {
			return ""
		}
		return strconv.FormatUint(uint64(v), 10)
	}
	parse := func(n *node) (N, error) { v, err := parseCount(n, lo, hi); return N(v), err }
	return scalar(between(lo, hi), number, at, parse, print)
}

func parseCount(n *node, lo, hi uint64) (uint64, error) {
	v, err := strconv.ParseUint(n.text, 10, 64)
	switch {
	case n.kind == text && err == nil:
		return 0, wrong{"want a number without quotes", n.text}
	case n.kind != number:
		return 0, wrongf("want a number, %s, found %s", between(lo, hi), n.kind)
	case err != nil || strconv.FormatUint(v, 10) != n.text:
		return 0, wrongf("want a whole decimal number, %s", between(lo, hi))
	case v < lo || v > hi:
		return 0, wrongf("%d is out of range: want %s", v, between(lo, hi))
	}
	return v, nil
}

func between(lo, hi uint64) string {
	if lo == hi {
		return strconv.FormatUint(lo, 10)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}

// word is text that check accepts.
func word[T any](kind string, at func(*T) *string, check func(string) error) shape[T] {
	return scalar(kind, text, at, func(n *node) (string, error) { return parseWord(n, check) }, func(s string) string { return s })
}

func parseWord(n *node, check func(string) error) (string, error) {
	switch {
	case n.kind == boolean || n.kind == mapping && len(n.pairs) == 1:
		return "", wrongf("want text: put quotes around it")
	case n.kind != text && n.kind != number:
		return "", wrongf("want text, found %s", n.kind)
	case n.text == "":
		return "", wrongf("want text, found none")
	case strings.ContainsFunc(n.text, func(c rune) bool { return !unicode.IsPrint(c) }):
		return "", wrongf("want printable text in one line")
	}
	return n.text, check(n.text)
}

// choice is one of a few words, each standing for a value.
func choice[T any, V comparable](words []string, values []V, at func(*T) *V) shape[T] {
	parse := func(n *node) (V, error) {
		if i := slices.Index(words, n.text); i >= 0 && n.kind <= boolean {
			return values[i], nil
		}
		var none V
		return none, wrong{"want " + either(words), near(n.text, words)}
	}
	print := func(v V) string { return words[slices.Index(values, v)] }
	return scalar(either(words), text, at, parse, print)
}

func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func duration[T any](lo, hi time.Duration, at func(*T) *time.Duration) shape[T] {
	name := fmt.Sprintf("duration, %s to %s", printDuration(lo), printDuration(hi))
	return scalar(name, text, at, func(n *node) (time.Duration, error) { return parseDuration(n, lo, hi) }, printDuration)
}

func parseDuration(n *node, lo, hi time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(n.text)
	if n.kind == number {
		d, err = time.ParseDuration(n.text + "s")
	}
	switch {
	case n.kind != number && n.kind != text || err != nil:
		return 0, wrongf("want a duration such as 90s, 5m or 2h, or a number of seconds")
	case d < lo || d > hi:
		return 0, wrongf("%s is out of range: want %s to %s", printDuration(d), printDuration(lo), printDuration(hi))
	case d%time.Second != 0:
		return 0, wrongf("want whole seconds")
	}
	return d, nil
}

func printDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func address[T any](at func(*T) *netip.Addr) shape[T] {
	return scalar("address", text, at, parseAddr, func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	})
}

func parseAddr(n *node) (netip.Addr, error) {
	a, err := netip.ParseAddr(n.text)
	if n.kind != text && n.kind != number || err != nil {
		if p, err := netip.ParsePrefix(n.text); err == nil {
			return netip.Addr{}, wrong{"want an address without a prefix length", p.Addr().String()}
		}
		return netip.Addr{}, wrongf("want an IPv4 or IPv6 address")
	}
	return a, unicast(a)
}

// unicast accepts addresses that one host can have.
func unicast(a netip.Addr) error {
	switch {
	case a.Is4In6():
		return wrong{"want the IPv4 address itself", a.Unmap().String()}
	case a.Zone() != "":
		return wrongf("want an address without a zone")
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return wrongf("%s is not the address of a host", a)
	}
	return nil
}

// network is the destination of a route.
func network[T any](at func(*T) *netip.Prefix) shape[T] {
	return scalar("prefix", text, at, parseNetwork, printNetwork)
}

func printNetwork(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func parseNetwork(n *node) (netip.Prefix, error) {
	p, err := parsePrefix(n)
	if err == nil && p != p.Masked() {
		return p, wrong{fmt.Sprintf("%s has bits set beyond its length", p), p.Masked().String()}
	}
	return p, err
}

func parsePrefix(n *node) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(n.text)
	if n.kind != text || err != nil {
		if a, err := netip.ParseAddr(n.text); err == nil {
			return p, wrong{"want a prefix with its length", fmt.Sprintf("%s/%d", a, a.BitLen())}
		}
		if n.kind == mapping {
			return p, wrongf("want a prefix: put quotes around it")
		}
		return p, wrongf("want a prefix such as 192.0.2.0/24 or 2001:db8::/64")
	}
	if p.Addr().Is4In6() {
		return p, wrongf("want an IPv4 or IPv6 prefix, not IPv4 in IPv6")
	}
	return p, nil
}

// addresses is an address with its prefix length, or a list of them.
func addresses[T any](at func(*T) *[]netip.Prefix) shape[T] {
	return several("address/length, or a list", at, parseInterfaceAddress, netip.Prefix.String)
}

func parseInterfaceAddress(n *node) (netip.Prefix, error) {
	p, err := parsePrefix(n)
	if err != nil {
		return p, err
	}
	if p.Addr() == p.Masked().Addr() && p.Addr().Is4() && p.Bits() < 31 {
		return p, wrong{fmt.Sprintf("%s is the network, not the address of a host", p), netip.PrefixFrom(p.Addr().Next(), p.Bits()).String()}
	}
	return p, unicast(p.Addr())
}

// several is one scalar or a list of them.
func several[T, V any](kind string, at func(*T) *[]V, parse func(*node) (V, error), print func(V) string) shape[T] {
	return shape[T]{
		kind: kind,
		read: func(r *reader, n *node, path string, to *T) {
			items := []*node{n}
			if n.kind == list {
				items = n.items
			}
			if len(items) == 0 {
				r.fail(path, n.at, under(path, wrongf("the list is empty")))
			}
			for i, item := range items {
				p := fmt.Sprintf("%s[%d]", path, i)
				r.at[p] = item.at
				v, err := parse(item)
				if err != nil {
					r.fail(path, item.at, under(path, err))
					continue
				}
				*at(to) = append(*at(to), v)
			}
		},
		write: func(from *T) *node {
			n := &node{kind: list}
			for _, v := range *at(from) {
				n.items = append(n.items, &node{kind: text, text: print(v)})
			}
			switch len(n.items) {
			case 0:
				return nil
			case 1:
				return n.items[0]
			}
			return n
		},
	}
}
