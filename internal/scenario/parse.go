package scenario

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Load reads and parses a file, in the first of its variants.
func Load(path string) (*File, error) { return LoadVariant(path, "") }

// LoadVariant reads and parses a file in one of its variants; "" is the first.
func LoadVariant(path, variant string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, variant, text)
}

// Parse reads a scenario; name stands in its errors, and config-file is looked for beside it.
func Parse(name string, text []byte) (*File, error) { return parse(name, "", text) }

func parse(name, variant string, text []byte) (*File, error) {
	r := &reader{file: name}
	root := r.parseTree(text)
	if root == nil {
		return nil, r.err()
	}
	f := r.fileOf(root, variant)
	if len(r.errs) == 0 {
		r.check(f)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *reader) fileOf(root ast.Node, variant string) *File {
	o := r.object(root, "scenario")
	f := &File{Path: r.file, Name: o.text("name"), Summary: strings.TrimSpace(o.text("summary"))}
	f.Variants, f.Variant = r.vary(o, variant)
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(r.file), filepath.Ext(r.file))
	}
	for _, n := range r.object(o.get("networks"), "networks").all() {
		f.Networks = append(f.Networks, r.network(n))
	}
	for _, n := range r.object(o.get("nodes"), "nodes").all() {
		f.Nodes = append(f.Nodes, r.nodeOf(f, n))
	}
	for _, n := range o.list("steps") {
		f.Steps = append(f.Steps, r.step(f, n))
	}
	o.done("scenario", "name", "summary", "variants", "networks", "nodes", "steps")
	return f
}

// vary reads the variants of a file and settles what `$name` stands for in the one that is wanted.
func (r *reader) vary(o *object, want string) (names []string, chosen string) {
	r.vars = map[string]ast.Node{}
	for i, v := range r.object(o.get("variants"), "variants").all() {
		names = append(names, v.name)
		if v.name != want && (want != "" || i > 0) {
			continue
		}
		chosen = v.name
		for _, f := range r.object(v.value, "variant "+v.name).all() {
			r.vars[f.name] = f.value
		}
	}
	if want != chosen && want != "" {
		r.fail(o.node, "there is no variant %q%s", want, suggest(want, names))
	}
	return names, chosen
}

// all is every field, for mappings whose keys are names.
func (o *object) all() []field {
	for i := range o.fields {
		o.fields[i].asked = true
	}
	return o.fields
}

var linkKeys = []string{"delay", "jitter", "loss", "duplicate", "rate", "mtu"}

func (r *reader) network(f field) Network {
	what := "network " + f.name
	o := r.object(f.value, what)
	n := Network{Name: f.name, Kind: NetworkKind(o.text("kind")), Link: o.link(Link{})}
	switch n.Kind {
	case "":
		n.Kind = LAN
	case LAN, Provider:
	default:
		r.fail(o.get("kind"), "%s: kind %q is neither lan nor provider", what, string(n.Kind))
	}
	o.done(what, append(linkKeys, "kind")...)
	return n
}

// link reads the keys of a link; those that are missing stay as they are in l.
func (o *object) link(l Link) Link {
	if o.has("delay") {
		l.Delay = o.duration("delay")
	}
	if o.has("jitter") {
		l.Jitter = o.duration("jitter")
	}
	if o.has("loss") {
		l.Loss = o.part("loss")
	}
	if o.has("duplicate") {
		l.Duplicate = o.part("duplicate")
	}
	if o.has("rate") {
		l.Rate = o.rate("rate")
	}
	if o.has("mtu") {
		l.MTU = o.number("mtu")
	}
	if l.Jitter > l.Delay {
		o.r.fail(o.node, "jitter is larger than delay: a packet cannot arrive before it was sent")
	}
	if l.MTU != 0 && (l.MTU < 576 || l.MTU > 65535) {
		o.r.fail(o.get("mtu"), "mtu: want 576 to 65535 octets")
	}
	return l
}

func (r *reader) nodeOf(f *File, n field) Node {
	what := "node " + n.name
	o := r.object(n.value, what)
	node := Node{Name: n.name, Kind: NodeKind(o.text("kind")), Gateways: o.addrs("gateway")}
	for _, i := range r.object(o.get("interfaces"), what+": interfaces").all() {
		node.Interfaces = append(node.Interfaces, r.interfaceOf(f, what, i))
	}
	for _, n := range o.list("routes") {
		node.Routes = append(node.Routes, r.route(n))
	}
	r.kind(o, what, &node)
	o.done(what, "kind", "interfaces", "gateway", "routes", "outside", "config", "config-file", "start")
	return node
}

func (r *reader) kind(o *object, what string, node *Node) {
	switch node.Kind {
	case Router:
		node.SetConfig(r.config(o, what, node.Name))
		node.Manual = o.has("start") && !o.flag("start")
	case NAT:
		node.Outside = o.required("outside", what)
		if node.Outside != "" && node.Interface(node.Outside) == nil {
			r.fail(o.get("outside"), "%s: outside: it has no interface %q", what, node.Outside)
		}
	case Host:
	case "":
		r.fail(o.node, "%s: kind is missing: router, host or nat", what)
	default:
		r.fail(o.get("kind"), "%s: kind %q is none of router, host and nat", what, string(node.Kind))
	}
}

func (r *reader) interfaceOf(f *File, node string, field field) Interface {
	what := node + ": interface " + field.name
	o := r.object(field.value, what)
	i := Interface{Name: field.name, Network: o.required("network", what), Addresses: o.prefixes("address")}
	network := f.Network(i.Network)
	if network == nil {
		if i.Network != "" {
			r.fail(o.get("network"), "%s: there is no network %q%s", what, i.Network, suggest(i.Network, f.networkNames()))
		}
		network = &Network{}
	}
	i.Link = o.link(network.Link)
	if len(i.Name) > 15 {
		r.fail(field.key, "%s: Linux allows 15 characters in the name of an interface", what)
	}
	o.done(what, append(linkKeys, "network", "address")...)
	return i
}

func (f *File) networkNames() []string {
	var all []string
	for _, n := range f.Networks {
		all = append(all, n.Name)
	}
	return all
}

func (f *File) nodeNames() []string {
	var all []string
	for _, n := range f.Nodes {
		all = append(all, n.Name)
	}
	return all
}

func (r *reader) route(n ast.Node) Route {
	o := r.object(n, "route")
	to := Route{To: read(o, "to", "a prefix such as 10.0.0.0/8", netip.ParsePrefix).Masked(), Via: o.addr("via")}
	if !to.To.IsValid() || !to.Via.IsValid() {
		r.fail(n, "route: want to (a prefix) and via (an address)")
	}
	o.done("route", "to", "via")
	return to
}

// config reads a router's configuration: a mapping, which is given version and node where it has none, or a file.
func (r *reader) config(o *object, what, name string) Config {
	if path := o.text("config-file"); path != "" {
		return r.configFile(o, what, path)
	}
	n := o.get("config")
	if n == nil {
		r.fail(o.node, "%s: a router needs config or config-file", what)
		return Config{}
	}
	m, ok := r.value(n, 0).(yaml.MapSlice)
	if len(r.errs) > 0 {
		return Config{} // what is broken may not be printable
	}
	if !ok {
		r.fail(n, "%s: config: want keys and values", what)
		return Config{}
	}
	m = withDefault(withDefault(m, "node", name), "version", 1)
	text, err := yaml.Marshal(m)
	if err != nil {
		r.fail(n, "%s: config: %v", what, err)
	}
	return Config{text, tunnelAddresses(m)}
}

func (r *reader) configFile(o *object, what, path string) Config {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.fail(o.get("config-file"), "%s: %v", what, err)
		return Config{}
	}
	var m yaml.MapSlice
	if err := yaml.Unmarshal(text, &m); err != nil {
		r.fail(o.get("config-file"), "%s: %s: it is not YAML", what, path)
	}
	return Config{text, tunnelAddresses(m)}
}

func withDefault(m yaml.MapSlice, key string, value any) yaml.MapSlice {
	if at(m, key) != nil {
		return m
	}
	return append(yaml.MapSlice{{Key: key, Value: value}}, m...)
}

func at(v any, key string) any {
	m, _ := v.(yaml.MapSlice)
	for _, i := range m {
		if i.Key == key {
			return i.Value
		}
	}
	return nil
}

// tunnelAddresses are the addresses of all tunnels of a configuration: a path names its hops by them.
func tunnelAddresses(config any) []netip.Addr {
	var all []netip.Addr
	tunnels, _ := at(config, "tunnels").(yaml.MapSlice)
	for _, t := range tunnels {
		list, ok := at(t.Value, "address").([]any)
		if !ok {
			list = []any{at(t.Value, "address")}
		}
		for _, a := range list {
			s, _ := a.(string)
			if p, err := netip.ParsePrefix(s); err == nil {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}
