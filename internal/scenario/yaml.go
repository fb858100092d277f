package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Error is one mistake in a file.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// reader turns a YAML tree into values and gathers every mistake on the way.
type reader struct {
	file    string
	anchors map[string]ast.Node
	vars    map[string]ast.Node // what $name stands for in this variant
	budget  int                 // nodes that may still be visited: aliases multiply
	errs    []*Error
}

// What a small file full of aliases can ask for is bounded in number and in depth: an alias can stand inside what it means.
const (
	maxNodes = 20_000
	maxDepth = 40
)

// maxSize is more than any story takes, in octets. The YAML parser's time grows faster than its input.
const maxSize = 256 << 10

// parseTree reads text to one tree; nil when it holds none.
func (r *reader) parseTree(text []byte) ast.Node {
	if len(text) > maxSize {
		r.errs = append(r.errs, &Error{File: r.file, Message: fmt.Sprintf("larger than %d octets", maxSize)})
		return nil
	}
	tree, err := parseBytes(text)
	if err != nil {
		r.syntax(err)
		return nil
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		r.errs = append(r.errs, &Error{File: r.file, Line: 1, Column: 1, Message: "want one YAML document"})
		return nil
	}
	r.anchors, r.budget = map[string]ast.Node{}, maxNodes
	ast.Walk(anchorFinder{r.anchors}, tree.Docs[0].Body)
	return tree.Docs[0].Body
}

// parseBytes is the YAML parser, which is known to panic on some text that is not YAML.
func parseBytes(text []byte) (tree *ast.File, err error) {
	defer func() {
		if recover() != nil {
			tree, err = nil, errors.New("the YAML cannot be understood")
		}
	}()
	return parser.ParseBytes(text, 0)
}

type anchorFinder struct{ found map[string]ast.Node }

func (a anchorFinder) Visit(n ast.Node) ast.Visitor {
	if n, ok := n.(*ast.AnchorNode); ok && n.Name != nil {
		a.found[n.Name.String()] = n.Value
	}
	return a
}

func (r *reader) syntax(err error) {
	e := &Error{File: r.file, Message: err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Message = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	r.errs = append(r.errs, e)
}

func (r *reader) fail(n ast.Node, format string, args ...any) {
	e := &Error{File: r.file, Message: fmt.Sprintf(format, args...)}
	if p := position(n); p != nil {
		e.Line, e.Column = p.Line, p.Column
	}
	r.errs = append(r.errs, e)
}

func position(n ast.Node) *token.Position {
	if n == nil || n.GetToken() == nil {
		return nil
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position // the token of a block mapping is its first colon
	}
	return n.GetToken().Position
}

// err joins the mistakes in the order of the file; nil when there is none.
func (r *reader) err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var all []error
	for _, e := range r.errs {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// resolve sees through anchors, aliases and what differs between variants; nil for nothing.
func (r *reader) resolve(n ast.Node) ast.Node {
	for range 100 {
		switch v := n.(type) {
		case *ast.StringNode:
			name, ok := strings.CutPrefix(v.Value, "$")
			if !ok || r.vars == nil || v.Token.Type != token.StringType {
				return n
			}
			target, ok := r.vars[name]
			if !ok {
				r.fail(n, "no variant says what $%s is", name)
				return nil
			}
			n = target
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := r.anchors[v.Value.String()]
			if !ok {
				r.fail(n, "no anchor is named %q", v.Value.String())
				return nil
			}
			n = target
		case *ast.NullNode:
			return nil
		default:
			return n
		}
	}
	return nil
}

// spend takes one from the budget; false when it is used up.
func (r *reader) spend(n ast.Node) bool {
	r.budget--
	if r.budget == 0 {
		r.fail(n, "the aliases of this file multiply without end")
	}
	return r.budget > 0
}

// object is a mapping whose keys must all be asked for.
type object struct {
	r      *reader
	node   ast.Node
	fields []field
}

type field struct {
	name   string
	key    ast.Node
	value  ast.Node
	asked  bool
	merged bool
}

// object reads n as a mapping; what names it for people. Nothing at all reads as an empty one.
func (r *reader) object(n ast.Node, what string) *object {
	o := &object{r: r, node: n}
	switch v := r.resolve(n).(type) {
	case nil:
	case *ast.MappingNode:
		o.add(v.Values, false)
	case *ast.MappingValueNode:
		o.add([]*ast.MappingValueNode{v}, false)
	default:
		r.fail(n, "%s: want keys and values, not %s", what, describe(v))
	}
	return o
}

func (o *object) add(values []*ast.MappingValueNode, merged bool) {
	for _, v := range values {
		if !o.r.spend(v) {
			return
		}
		if v.Key.IsMergeKey() {
			o.merge(v.Value)
			continue
		}
		name := keyName(v.Key)
		if f := o.find(name); f == nil {
			o.fields = append(o.fields, field{name: name, key: v.Key, value: v.Value, merged: merged})
		} else if f.merged && !merged {
			*f = field{name: name, key: v.Key, value: v.Value}
		}
	}
}

// merge adds the fields of `<<: *other`, which yield to the mapping's own.
func (o *object) merge(n ast.Node) {
	switch v := o.r.resolve(n).(type) {
	case *ast.MappingNode:
		o.add(v.Values, true)
	case *ast.MappingValueNode:
		o.add([]*ast.MappingValueNode{v}, true)
	case *ast.SequenceNode:
		for _, n := range v.Values {
			if o.r.spend(n) {
				o.merge(n)
			}
		}
	default:
		o.r.fail(n, "<<: want an alias of a mapping")
	}
}

func keyName(k ast.MapKeyNode) string {
	if s, ok := k.(ast.ScalarNode); ok {
		return scalarText(s)
	}
	return k.String()
}

func (o *object) find(name string) *field {
	for i := range o.fields {
		if o.fields[i].name == name {
			return &o.fields[i]
		}
	}
	return nil
}

// get is the value under a key; nil when there is none.
func (o *object) get(name string) ast.Node {
	f := o.find(name)
	if f == nil {
		return nil
	}
	f.asked = true
	return f.value
}

func (o *object) has(name string) bool { return o.find(name) != nil }

// done complains about keys that nobody asked for; known are suggestions beside those asked for.
func (o *object) done(what string, known ...string) {
	for _, f := range o.fields {
		if !f.asked {
			o.r.fail(f.key, "%s: unknown key %q%s", what, f.name, suggest(f.name, known))
		}
	}
}

func (o *object) text(name string) string {
	n := o.get(name)
	if n == nil {
		return ""
	}
	return o.r.text(n, name)
}

func (r *reader) text(n ast.Node, what string) string {
	v := r.resolve(n)
	if l, ok := v.(*ast.LiteralNode); ok {
		return l.Value.Value
	}
	s, ok := v.(ast.ScalarNode)
	if !ok {
		r.fail(n, "%s: want a word, not %s", what, describe(v))
		return ""
	}
	return scalarText(s)
}

// scalarText is the scalar as it was written, without quotes: `1e3` and `0x10` stay what they look like.
func scalarText(s ast.ScalarNode) string {
	if v, ok := s.(*ast.StringNode); ok {
		return v.Value
	}
	return s.GetToken().Value
}

func (o *object) required(name, what string) string {
	if !o.has(name) {
		o.r.fail(o.node, "%s: %s is missing", what, name)
		return ""
	}
	return o.text(name)
}

// read parses the scalar under a key, when there is one; want describes a good value.
func read[T any](o *object, name, want string, parse func(string) (T, error)) T {
	var zero T
	n := o.get(name)
	if n == nil {
		return zero
	}
	return readNode(o.r, n, name, want, parse)
}

func readNode[T any](r *reader, n ast.Node, name, want string, parse func(string) (T, error)) T {
	s := r.text(n, name)
	v, err := parse(s)
	if err != nil && s != "" {
		r.fail(n, "%s: %q is not %s", name, s, want)
	}
	return v
}

func (o *object) duration(name string) time.Duration {
	return read(o, name, "a time such as 200ms or 5s", func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err == nil && d < 0 {
			err = errors.New("negative")
		}
		return d, err
	})
}

func (o *object) number(name string) int {
	return read(o, name, "a whole number from 0", func(s string) (int, error) {
		u, err := strconv.ParseUint(s, 10, 31)
		return int(u), err
	})
}

func (o *object) flag(name string) bool {
	return read(o, name, "true or false", strconv.ParseBool)
}

// part reads a share: `1%`, `0.5 %`, or a fraction such as 0.01.
func (o *object) part(name string) float64 {
	return read(o, name, "a share such as 1%", func(s string) (float64, error) {
		number, percent := strings.CutSuffix(s, "%")
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if percent {
			f /= 100
		}
		if err == nil && !(f >= 0 && f <= 1) {
			err = errors.New("out of range")
		}
		return f, err
	})
}

func (o *object) rate(name string) uint64 {
	return read(o, name, "a rate such as 10Mbit or 1Gbit", parseRate)
}

func parseRate(s string) (uint64, error) {
	factor := uint64(1)
	for _, u := range []struct {
		suffix string
		factor uint64
	}{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = rest, u.factor
			break
		}
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err == nil && !(f >= 0 && f <= 1e6) && factor > 1 || !(f >= 0 && f <= 1e15) {
		err = errors.New("out of range")
	}
	return uint64(f * float64(factor)), err
}

func (o *object) addr(name string) netip.Addr {
	return read(o, name, "an IP address", netip.ParseAddr)
}

// list is the values under a key: those of a sequence, or the one that is there alone.
func (o *object) list(name string) []ast.Node {
	n := o.get(name)
	if n == nil {
		return nil
	}
	return o.r.list(n)
}

func (r *reader) list(n ast.Node) []ast.Node {
	switch v := r.resolve(n).(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		return v.Values
	}
	return []ast.Node{n}
}

func (o *object) texts(name string) []string {
	var all []string
	for _, n := range o.list(name) {
		all = append(all, o.r.text(n, name))
	}
	return all
}

func (o *object) addrs(name string) []netip.Addr {
	var all []netip.Addr
	for _, n := range o.list(name) {
		all = append(all, readNode(o.r, n, name, "an IP address", netip.ParseAddr))
	}
	return all
}

// prefixes reads addresses with a length, as interfaces have them.
func (o *object) prefixes(name string) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range o.list(name) {
		p := readNode(o.r, n, name, "an address with its prefix length, such as 10.0.0.1/24", netip.ParsePrefix)
		if p.IsValid() {
			all = append(all, p)
		}
	}
	return all
}

// value is the tree as plain Go values, mappings in order, aliases replaced by what they stand for.
func (r *reader) value(n ast.Node, depth int) any {
	if depth > maxDepth {
		r.fail(n, "nested deeper than %d", maxDepth)
		r.budget = 0
	}
	if !r.spend(n) {
		return nil
	}
	switch v := r.resolve(n).(type) {
	case nil:
		return nil
	case *ast.MappingNode, *ast.MappingValueNode:
		m := yaml.MapSlice{}
		for _, f := range r.object(v, "mapping").fields {
			m = append(m, yaml.MapItem{Key: f.name, Value: r.value(f.value, depth+1)})
		}
		return m
	case *ast.SequenceNode:
		s := []any{}
		for _, n := range v.Values {
			s = append(s, r.value(n, depth+1))
		}
		return s
	case *ast.LiteralNode:
		return v.Value.Value
	case ast.ScalarNode:
		return v.GetValue()
	default:
		r.fail(n, "%s cannot stand here", describe(v))
		return nil
	}
}

func describe(n ast.Node) string {
	switch n.(type) {
	case nil:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case ast.ScalarNode:
		return "a single value"
	}
	return "this"
}

// suggest finds the known word that a mistyped one is close to.
func suggest(word string, known []string) string {
	best, bestAt := "", len(word)/3+2
	for _, k := range known {
		if d := distance(word, k); d < bestAt {
			best, bestAt = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(known) > 0 && len(known) <= 8 {
		return "; known are " + strings.Join(known, ", ")
	}
	return ""
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
