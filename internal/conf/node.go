package conf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. Ours nest six deep; the rest keeps hostile text cheap.
const (
	maxSize  = 1 << 20 // octets
	maxLine  = 1 << 10 // octets; also bounds the depth of block nesting
	maxDepth = 16      // of mappings and lists
	maxPairs = 2048    // of a mapping; more tunnels than that want a second host
)

type kind uint8

const (
	null kind = iota
	text
	number
	boolean
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a list", "a mapping"}[k]
}

// place is a line and column, both from 1.
type place struct{ line, column int }

// node is a YAML value, read or to be printed.
type node struct {
	kind   kind
	text   string // of a scalar, as written
	secret bool   // text is only to be printed where secrets may be
	hidden string // the secret that text is, or refers to: compared, never printed
	label  string // what names an item of a list in a diff
	items  []*node
	pairs  []pair
	at     place
}

type pair struct {
	key   string
	at    place
	value *node
}

// parseYAML reads one document. Anchors, aliases, tags and further documents are refused: they have no use here,
// and are how small files grow large.
func parseYAML(src []byte) (n *node, err *Error) {
	if err := plausible(src); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(string(src))
	if err := plain(tokens); err != nil {
		return nil, err
	}
	defer func() { // the YAML parser is not ours to trust
		if r := recover(); r != nil {
			n, err = nil, &Error{Message: "the YAML cannot be understood"}
		}
	}()
	file, perr := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if perr != nil {
		return nil, syntax(perr)
	}
	return document(file)
}

func document(file *ast.File) (*node, *Error) {
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			return nil, errorAt(placeOf(d.Body), "a second document: one file is one configuration")
		}
		body = d.Body
	}
	if body == nil {
		return &node{kind: null, at: place{1, 1}}, nil
	}
	return convert(body, 0)
}

// plausible refuses what is too large or no text before anything looks closer.
func plausible(src []byte) *Error {
	if len(src) > maxSize {
		return &Error{Message: fmt.Sprintf("larger than %d octets", maxSize)}
	}
	line := 0
	for l := range bytes.Lines(src) {
		line++
		if len(l) > maxLine {
			return errorAt(place{line, maxLine + 1}, fmt.Sprintf("a line longer than %d octets", maxLine))
		}
		if c := strange(string(l)); c > 0 {
			return errorAt(place{line, c}, "not text: a control character or invalid UTF-8")
		}
	}
	return nil
}

// strange is the column of the first character that has no place in a text file, or 0.
func strange(line string) int {
	column := 0
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	for i, r := range line {
		column++
		_, size := utf8.DecodeRuneInString(line[i:])
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\ufeff' || r == '\u2028' || r == '\u2029' {
			return column
		}
	}
	return 0
}

// plain refuses the parts of YAML that we do not use, nesting without end, and mappings without end.
func plain(tokens token.Tokens) *Error {
	var g guard
	for _, t := range tokens {
		if why := g.refuse(t); why != "" {
			return errorAt(tokenPlace(t), why)
		}
	}
	return nil
}

// guard follows the tokens before the parser does, whose time grows with the square of a mapping's pairs.
type guard struct {
	flow   int // depth of [ and {
	blocks []block
}

// block is a mapping by the column of its keys.
type block struct{ column, pairs int }

func (g *guard) refuse(t *token.Token) string {
	switch t.Type {
	case token.AnchorType, token.AliasType, token.MergeKeyType:
		return "anchors and aliases are not allowed"
	case token.TagType, token.DirectiveType:
		return "YAML tags and directives are not allowed"
	case token.MappingKeyType:
		return "complex keys are not allowed"
	case token.MappingStartType, token.SequenceStartType:
		if g.flow++; g.flow > maxDepth {
			return "nested too deeply"
		}
	case token.MappingEndType, token.SequenceEndType:
		g.flow--
	case token.SequenceEntryType:
		g.leave(t.Position.Column + 1)
	case token.MappingValueType:
		if t.Prev != nil && g.count(t.Prev.Position.Column) > maxPairs {
			return fmt.Sprintf("more than %d keys in one mapping", maxPairs)
		}
	}
	return ""
}

// leave forgets the mappings whose keys are at column or to the right of it.
func (g *guard) leave(column int) {
	for n := len(g.blocks); n > 0 && g.blocks[n-1].column >= column; n-- {
		g.blocks = g.blocks[:n-1]
	}
}

// count is how many keys the mapping at this column has so far.
func (g *guard) count(column int) int {
	g.leave(column + 1)
	n := len(g.blocks)
	if n == 0 || g.blocks[n-1].column < column {
		g.blocks = append(g.blocks, block{column: column})
		n++
	}
	g.blocks[n-1].pairs++
	return g.blocks[n-1].pairs
}

// syntax keeps the message and the place of the parser's error, never the excerpt: it may show a secret.
func syntax(err error) *Error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return &Error{Message: "the YAML cannot be understood"}
	}
	message, _, _ := strings.Cut(y.GetMessage(), "\"") // a quotation of the file
	message = strings.ReplaceAll(message, "\t", "tab")
	return errorAt(tokenPlace(y.GetToken()), strings.TrimRight(message, ": "))
}

func errorAt(at place, message string) *Error {
	return &Error{Line: at.line, Column: at.column, Message: message}
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

func placeOf(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key) // its own token is the colon
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		return placeOf(v.Key)
	}
	return tokenPlace(n.GetToken())
}

func convert(n ast.Node, depth int) (*node, *Error) {
	if depth > maxDepth {
		return nil, errorAt(placeOf(n), "nested too deeply")
	}
	out := &node{at: placeOf(n)}
	switch n := n.(type) {
	case *ast.MappingNode:
		return out, out.addPairs(n.Values, depth)
	case *ast.MappingValueNode:
		return out, out.addPairs([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			item, err := convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, item)
		}
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.text = boolean, n.Token.Value
	case *ast.IntegerNode:
		out.kind, out.text = number, n.Token.Value
	case *ast.FloatNode:
		out.kind, out.text = number, n.Token.Value
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = text, n.Value.Value
	default:
		return nil, errorAt(out.at, "the YAML cannot be understood here")
	}
	return out, nil
}

func (n *node) addPairs(values []*ast.MappingValueNode, depth int) *Error {
	n.kind = mapping
	for _, v := range values {
		key, at := v.Key.GetToken().Value, placeOf(v.Key)
		if key == "" {
			return errorAt(at, "an empty key")
		}
		value, err := convert(v.Value, depth+1)
		if err != nil {
			return err
		}
		n.pairs = append(n.pairs, pair{key, at, value})
	}
	return nil
}
