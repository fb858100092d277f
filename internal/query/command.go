package query

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
)

// Command is one row of the table of commands: what is typed, what is answered.
type Command struct {
	Name     string
	Aliases  []string // other words for it, those of IOS among them
	Help     string   // one line, lower case
	Args     string   // for the reference; every show command also takes the filters of [Filter]
	Row      any      // a zero row: the columns and JSON keys of the answer
	Metrics  []Metric
	snapshot func(src Source, args []string) (any, error) // rows: a slice of Row
	decode   func(data []byte) (any, error)
	text     func(w io.Writer, rows any) error
}

// Shows are the `show` commands, in the order the help lists them.
func Shows() []Command {
	return []Command{
		show(Command{
			Name: "nhrp", Aliases: []string{"ip nhrp", "ipv6 nhrp", "nhrp cache", "ip nhrp detail"},
			Help:    "the NHRP cache: which protocol address is at which NBMA address",
			Metrics: nhrpMetrics(),
		}, Source.NHRP),
		show(Command{
			Name: "shortcuts", Aliases: []string{"shortcut", "ip nhrp shortcut", "ipv6 nhrp shortcut", "nhrp shortcut"},
			Help:    "prefixes that go to a peer directly instead of through the hub",
			Metrics: shortcutMetrics(),
		}, Source.Shortcuts),
		show(Command{
			Name: "peers", Aliases: []string{"dmvpn", "ip nhrp nhs", "ip nhrp peers", "nhrp nhs"},
			Help:    "hubs and spokes, how they are reached, and why not",
			Metrics: peerMetrics(),
		}, Source.Peers),
		show(Command{
			Name: "sas", Aliases: []string{"crypto ipsec sa", "crypto session", "crypto sa"},
			Help:    "the security association with each peer: who it is, keys, traffic",
			Metrics: saMetrics(),
		}, Source.SAs),
		show(Command{
			Name: "ike", Aliases: []string{"crypto ikev2 sa", "crypto ike sa", "crypto isakmp sa"},
			Help:    "IKE: SAs, peers that are being tried, those turned away, and why",
			Metrics: ikeMetrics(),
		}, Source.IKE),
		show(Command{
			Name: "bfd", Aliases: []string{"bfd neighbors", "bfd peers", "bfd sessions"},
			Help:    "paths that are watched: their state, and how soon a failure is noticed",
			Metrics: bfdMetrics(),
		}, Source.BFD),
		show(Command{
			Name: "ospf", Aliases: []string{"ip ospf", "ipv6 ospf", "ospfv3"},
			Help: "OSPF: instances, what they are and how large",
		}, Source.OSPF),
		show(Command{
			Name: "ospf neighbors", Aliases: []string{"ospf neighbours", "ip ospf neighbor", "ip ospf neighbor detail", "ipv6 ospf neighbor", "ospfv3 neighbor"},
			Help:    "OSPF neighbours, and how far the adjacency with each has come",
			Metrics: ospfNeighborMetrics(),
		}, Source.OSPFNeighbors),
		show(Command{
			Name: "ospf areas", Aliases: []string{"ospf area"},
			Help: "areas of OSPF: kind, our part in them, and how large they are",
		}, Source.OSPFAreas),
		show(Command{
			Name: "ospf interfaces", Aliases: []string{"ip ospf interface", "ipv6 ospf interface", "ospfv3 interface"},
			Help: "interfaces with OSPF: area, kind of network, designated routers, cost",
		}, Source.OSPFInterfaces),
		ospfDatabase(),
		show(Command{
			Name: "ospf routers", Aliases: []string{"ospf border-routers", "ip ospf border-routers", "ipv6 ospf border-routers"},
			Help: "the ways to area border routers and AS boundary routers",
		}, Source.OSPFRouters),
		show(Command{
			Name: "ospf routes", Aliases: []string{"ip ospf route", "ipv6 ospf route", "ospfv3 route"},
			Help: "the routing table of OSPF, with what others hide in `show routes`",
		}, Source.OSPFRoutes),
		show(Command{
			Name: "ospf problems", Aliases: []string{"ospf errors"},
			Help:    "what keeps neighbours away: other areas, timers, keys, MTUs; LSAs that lie, and replays",
			Metrics: ospfProblemMetrics(),
		}, Source.OSPFProblems),
		routes(),
		show(Command{
			Name: "interfaces", Aliases: []string{"interface", "tunnels", "ip interface", "ipv6 interface"},
			Help:    "tunnels and addressed interfaces, with traffic and drops by reason",
			Metrics: interfaceMetrics(),
		}, Source.Interfaces),
		show(Command{
			Name: "timers", Help: "what is due when, and whose it is",
			Metrics: timerMetrics(),
		}, Source.Timers),
		config(),
		show(Command{
			Name: "counters", Aliases: []string{"ip nhrp traffic", "ipv6 nhrp traffic", "nhrp traffic", "statistics"},
			Help:    "packets and events counted by module, with dropped ones by reason",
			Metrics: counterMetrics(),
		}, Source.Counters),
	}
}

// Clears are the `clear` commands. [Source.Clear] does them.
func Clears() []Command {
	return []Command{
		{Name: "nhrp", Aliases: []string{"ip nhrp", "ipv6 nhrp"}, Args: "[FILTER]",
			Help: "forget learned NHRP entries; FILTER is an interface, address or prefix"},
		{Name: "shortcuts", Aliases: []string{"ip nhrp shortcut", "ipv6 nhrp shortcut", "nhrp shortcut"}, Args: "[FILTER]",
			Help: "drop shortcuts; traffic goes by the hub until they form again"},
		{Name: "ike", Aliases: []string{"sas", "crypto session", "crypto sa", "crypto ikev2 sa", "crypto ipsec sa"}, Args: "[FILTER]",
			Help: "close SAs, which come anew when needed; FILTER is an address, prefix or identity"},
		{Name: "ospf", Aliases: []string{"ip ospf process", "ip ospf neighbor", "ospf neighbors"}, Args: "[FILTER]",
			Help: "end adjacencies, which come anew; FILTER is an interface, a router ID or an address"},
		{Name: "guards", Args: "[FILTER]",
			Help: "let go of prefixes that only protected tunnels led to and that have no route now; FILTER is such a prefix or an address in it"},
		{Name: "counters", Aliases: []string{"ip nhrp counters", "ip nhrp traffic", "statistics"}, Args: "[FILTER]",
			Help: "set counters to zero; FILTER is a module or interface"},
	}
}

// Snapshot takes the rows of a show command from a router.
func (c Command) Snapshot(src Source, args []string) (any, error) { return c.snapshot(src, args) }

// Decode reads rows back from what [JSON] wrote. Keys it does not know are ignored.
func (c Command) Decode(data []byte) (any, error) { return c.decode(data) }

// Text prints rows for people; wide with every column.
func (c Command) Text(w io.Writer, rows any, wide bool) error {
	if c.text != nil {
		return c.text(w, rows)
	}
	return table(w, rows, wide)
}

// show completes a command whose rows come from one method and may be filtered.
func show[T any](c Command, rows func(Source) []T) Command {
	c.Args = "[FILTER...]"
	return rowsOf(c, func(src Source, args []string) ([]T, error) {
		return Filter(rows(src), args)
	})
}

func rowsOf[T any](c Command, snapshot func(Source, []string) ([]T, error)) Command {
	c.Row = *new(T)
	c.snapshot = func(src Source, args []string) (any, error) { return snapshot(src, args) }
	c.decode = func(data []byte) (any, error) {
		var rows []T
		if err := json.Unmarshal(data, &rows); err != nil {
			return nil, fmt.Errorf("read the daemon's answer: %w", err)
		}
		return rows, nil
	}
	return c
}

// ospfDatabase has what an LSA says worked out for those that are shown alone: a database may be large.
func ospfDatabase() Command {
	c := Command{
		Name: "ospf database", Aliases: []string{"ip ospf database", "ipv6 ospf database", "ospfv3 database"},
		Help:    "the link-state database, LSA by LSA; wide with what each says",
		Args:    "[FILTER...]",
		Metrics: ospfDatabaseMetrics(),
	}
	return rowsOf(c, func(src Source, args []string) ([]ospf.DatabaseRow, error) {
		rows, err := Filter(src.OSPFDatabase(), args)
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].Contents = rows[i].Describe()
		}
		return rows, err
	})
}

func routes() Command {
	c := Command{
		Name: "routes", Aliases: []string{"route", "ip route", "ipv6 route"},
		Help:    "routes offered, selected and in the kernel; with an address or a prefix, which one it takes and why no other",
		Args:    "[ADDRESS|PREFIX] [FILTER...]",
		Metrics: routeMetrics(),
	}
	return rowsOf(c, func(src Source, args []string) ([]RouteRow, error) {
		if len(args) > 0 {
			if to, ok := destination(args[0]); ok {
				return explainFor(src, to, args[1:])
			}
		}
		return Filter(withoutGuards(src.Routes(), args), args)
	})
}

// destination is what an address or a prefix asks for.
func destination(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

// withoutGuards leaves out guards beneath routes, unless they are asked for.
func withoutGuards(rows []RouteRow, filters []string) []RouteRow {
	if slices.Contains(filters, guard) {
		return rows
	}
	kept := make([]RouteRow, 0, len(rows))
	for _, r := range rows {
		if r.Protocol != guard || r.Selected {
			kept = append(kept, r)
		}
	}
	return kept
}

func explainFor(src Source, to netip.Prefix, filters []string) ([]RouteRow, error) {
	rows, err := Filter(src.RoutesTo(to), filters)
	if err != nil {
		return nil, err
	}
	rows = Explain(rows, src.NHRP(), to)
	if len(rows) == 0 {
		name := to.String()
		if to.IsSingleIP() {
			name = to.Addr().String()
		}
		return nil, fmt.Errorf("no route to %s: %w", name, ErrNotFound)
	}
	return rows, nil
}

// ConfigRow is the one row of `show config`.
type ConfigRow struct {
	Config json.RawMessage `json:"config"`
	YAML   string          `json:"yaml"`
}

func config() Command {
	c := Command{
		Name: "config", Aliases: []string{"running-config", "configuration"},
		Help: "the configuration in use, every default filled in, without secrets",
	}
	c = rowsOf(c, func(src Source, args []string) ([]ConfigRow, error) {
		text := src.Config()
		doc, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("print the configuration as JSON: %w", err)
		}
		return []ConfigRow{{Config: doc, YAML: text}}, nil
	})
	c.text = func(w io.Writer, rows any) error {
		for _, r := range rows.([]ConfigRow) {
			if _, err := io.WriteString(w, r.YAML); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// Stages is the answer to `why`: rows of [nhrp.Stage] as a list for people.
func Stages(w io.Writer, stages []nhrp.Stage) error {
	width := 0
	for _, s := range stages {
		width = max(width, len(s.Name))
	}
	for _, s := range stages {
		if _, err := fmt.Fprintf(w, "%-7s  %-*s  %s\n", s.State, width, s.Name, s.Detail); err != nil {
			return err
		}
		if s.Remedy != "" {
			fmt.Fprintf(w, "%7s  %*s  remedy: %s\n", "", width, "", s.Remedy)
		}
	}
	return nil
}
