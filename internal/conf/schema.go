package conf

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// shape is what a value may be: how it is read into a T, printed from one, and named in the reference.
type shape[T any] struct {
	kind  string
	read  func(r *reader, n *node, path string, to *T)
	write func(from *T) *node     // nil: leave the key out
	rows  func(path string) []row // of what is inside, if anything
}

// key is a row of the table of keys.
type key[T any] struct {
	name     string
	standard string // the default, in words; "required" makes it so
	meaning  string
	shape[T]
}

// section is a mapping with fixed keys.
type section[T any] []key[T]

// row is a line of the reference.
type row struct{ path, kind, standard, meaning string }

// reader walks the nodes, and keeps where everything was and what was wrong.
type reader struct {
	errs     Errors
	warnings []Warning
	at       map[string]place // by path
	bad      map[string]bool  // paths with an error
	secrets  Secrets
	keys     []row // every key there is
}

func (r *reader) fail(path string, at place, err error) {
	e := &Error{Line: at.line, Column: at.column, Message: err.Error()}
	var w wrong
	if errors.As(err, &w) {
		e.Suggestion = w.suggestion
	}
	r.errs = append(r.errs, e)
	r.bad[path] = true
}

// failAt is an error found by looking at the whole. It is where the path is written, or its nearest parent.
func (r *reader) failAt(path, format string, args ...any) {
	r.fail(path, r.place(path), wrongf(format, args...))
}

func (r *reader) warnAt(path, format string, args ...any) {
	at := r.place(path)
	r.warnings = append(r.warnings, Warning{Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) has(path string) bool {
	_, ok := r.at[path]
	return ok
}

func (r *reader) place(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{}
		}
		path = path[:i]
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (s section[T]) read(r *reader, n *node, path string, to *T) {
	if n.kind != mapping {
		r.fail(path, n.at, wrongf("%swant a mapping of keys, found %s", prefix(path), n.kind))
		return
	}
	for _, kv := range r.unique(n, path) {
		i := slices.IndexFunc(s, func(k key[T]) bool { return k.name == kv.key })
		if i < 0 {
			r.fail(path, kv.at, s.unknown(r, path, kv.key))
			continue
		}
		p := join(path, kv.key)
		r.at[p] = kv.value.at
		if kv.value.kind == null {
			r.at[p] = kv.at
			r.fail(p, kv.at, wrongf("%s: no value: want %s", kv.key, s[i].kind))
			continue
		}
		s[i].read(r, kv.value, p, to)
	}
	for _, k := range s {
		if p := join(path, k.name); k.standard == required && !r.has(p) {
			r.fail(p, n.at, wrongf("%s%s is missing", prefix(path), k.name))
			r.at[p] = n.at
		}
	}
}

const required = "required"

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// unique is the pairs of a mapping with the repeated keys reported and left out.
func (r *reader) unique(n *node, path string) []pair {
	var out []pair
	first := map[string]place{}
	for _, kv := range n.pairs {
		if at, ok := first[kv.key]; ok {
			r.fail(path, kv.at, wrongf("%s%s is given twice, first in line %d", prefix(path), show(kv.key), at.line))
			continue
		}
		first[kv.key] = kv.at
		out = append(out, kv)
	}
	return out
}

func (s section[T]) unknown(r *reader, path, word string) error {
	var names []string
	for _, k := range s {
		names = append(names, k.name)
	}
	return wrong{fmt.Sprintf("%sunknown key %q", prefix(path), show(word)), cmp.Or(near(word, names), r.elsewhere(word))}
}

// elsewhere is the one place of the reference where a key of this name belongs, or "".
func (r *reader) elsewhere(word string) string {
	found := ""
	for _, k := range r.keys {
		if strings.HasSuffix("."+k.path, "."+word) {
			if found != "" {
				return ""
			}
			found = k.path
		}
	}
	return found
}

// show shortens what is quoted in an error.
func show(s string) string {
	if r := []rune(s); len(r) > maxWord {
		return string(r[:maxWord]) + "…"
	}
	return s
}

func (s section[T]) write(from *T) *node {
	n := &node{kind: mapping}
	for _, k := range s {
		if k.shape.write == nil {
			continue
		}
		if v := k.shape.write(from); v != nil {
			n.pairs = append(n.pairs, pair{key: k.name, value: v})
		}
	}
	return n
}

func (s section[T]) rows(path string) []row {
	var out []row
	for _, k := range s {
		p := join(path, k.name)
		out = append(out, row{p, k.kind, k.standard, k.meaning})
		if k.shape.rows != nil {
			out = append(out, k.shape.rows(p)...)
		}
	}
	return out
}

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
	~int | ~uint8 | ~uint32
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
	case n.kind == boolean:
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
	return scalar("prefix", text, at, parseNetwork, netip.Prefix.String)
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

// object is a mapping inside.
func object[T, U any](s section[U], at func(*T) *U) shape[T] {
	return shape[T]{
		kind: "mapping",
		read: func(r *reader, n *node, path string, to *T) { s.read(r, n, path, at(to)) },
		write: func(from *T) *node {
			if n := s.write(at(from)); len(n.pairs) > 0 {
				return n
			}
			return nil
		},
		rows: s.rows,
	}
}

// named is a mapping of names, each of an object. They are kept in order of name.
func named[T, U any](s section[U], at func(*T) *[]U, name func(*U) *string, fresh func(name string) (U, error)) shape[T] {
	return shape[T]{
		kind: "mapping of names",
		read: func(r *reader, n *node, path string, to *T) {
			if n.kind != mapping {
				r.fail(path, n.at, wrongf("%s: want a mapping of names, found %s", path, n.kind))
				return
			}
			for _, kv := range r.unique(n, path) {
				p := join(path, kv.key)
				r.at[p] = kv.at
				u, err := fresh(kv.key)
				if err != nil {
					r.fail(p, kv.at, under(path, err))
					continue
				}
				s.read(r, kv.value, p, &u)
				*at(to) = append(*at(to), u)
			}
			slices.SortFunc(*at(to), func(a, b U) int { return cmp.Compare(*name(&a), *name(&b)) })
		},
		write: func(from *T) *node {
			n := &node{kind: mapping}
			for _, u := range *at(from) {
				n.pairs = append(n.pairs, pair{key: *name(&u), value: s.write(&u)})
			}
			if len(n.pairs) == 0 {
				return nil
			}
			return n
		},
		rows: func(path string) []row { return s.rows(path + ".NAME") },
	}
}

// objects is a list of objects. label names one in a diff.
func objects[T, U any](s section[U], fresh U, at func(*T) *[]U, label func(*U) string) shape[T] {
	return shape[T]{
		kind: "list of mappings",
		read: func(r *reader, n *node, path string, to *T) {
			if n.kind != list {
				r.fail(path, n.at, under(path, wrongf("want a list (- …), found %s", n.kind)))
				return
			}
			for i, item := range n.items {
				p := fmt.Sprintf("%s[%d]", path, i)
				r.at[p] = item.at
				u := fresh
				s.read(r, item, p, &u)
				*at(to) = append(*at(to), u)
			}
		},
		write: func(from *T) *node {
			n := &node{kind: list}
			for _, u := range *at(from) {
				item := s.write(&u)
				item.label = label(&u)
				n.items = append(n.items, item)
			}
			if len(n.items) == 0 {
				return nil
			}
			return n
		},
		rows: func(path string) []row { return s.rows(path + "[]") },
	}
}

// later is a key that is known and not built. It is refused, never ignored: nobody shall believe it works.
func later[T any](why string) shape[T] {
	return shape[T]{
		kind: "not supported yet",
		read: func(r *reader, n *node, path string, _ *T) {
			r.fail(path, n.at, wrongf("%s is not supported yet: %s", path[strings.LastIndex(path, ".")+1:], why))
		},
	}
}
