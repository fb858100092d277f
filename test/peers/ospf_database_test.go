package peers

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// database is the LSAs of a router by what they are flooded in: "area 0.0.0.1", "as", "link s3". Each is "TYPE ID ROUTER
// SEQUENCE CHECKSUM" in hexadecimal, with the type as it is on the wire. Those that are on their way out are not in it.
type database map[string][]string

const maxAge = 3600

func (d database) add(scope string, age int, kind uint16, id, router string, sequence, checksum uint32) {
	if age >= maxAge {
		return
	}
	row := fmt.Sprintf("%04x %s %s %08x %04x", kind, id, router, sequence, checksum)
	if !slices.Contains(d[scope], row) {
		d[scope] = append(d[scope], row)
	}
}

// sort puts the rows in order, and gives the database.
func (d database) sort() database {
	for _, rows := range d {
		slices.Sort(rows)
	}
	return d
}

func (m *member) database(version string) (database, error) {
	switch m.make {
	case "frr":
		if version == v2 {
			return m.frrDatabase2()
		}
		return m.frrDatabase3()
	case "bird":
		return m.birdDatabase(version)
	}
	return m.ourDatabase(version)
}

// opaque are the types that carry something else, such as grace LSAs: they are compared nowhere.
var opaque = []uint16{9, 10, 11, 0x000b}

// Types on the wire by our names.
var (
	types2 = map[string]uint16{"router": 1, "network": 2, "summary": 3, "summary-router": 4, "external": 5, "nssa": 7}
	types3 = map[string]uint16{"router": 0x2001, "network": 0x2002, "summary": 0x2003, "summary-router": 0x2004,
		"external": 0x4005, "nssa": 0x2007, "link": 8, "intra-area-prefix": 0x2009}
)

func (m *member) ourDatabase(version string) (database, error) {
	var rows []struct {
		Instance, Scope, Type, ID, Router, Sequence, Checksum, Interface string
		Age                                                              int
	}
	if err := m.node.show(&rows, "ospf", "database"); err != nil {
		return nil, err
	}
	d := database{}
	for _, r := range rows {
		if r.Instance != instances[version] || r.Type == "grace" || r.Type == "opaque" {
			continue
		}
		kinds := types3
		if version == v2 {
			kinds = types2
		}
		kind, ok := kinds[r.Type]
		if !ok {
			return nil, fmt.Errorf("%s has an LSA of type %s", m.name, r.Type)
		}
		sequence, err1 := strconv.ParseUint(r.Sequence, 0, 32)
		checksum, err2 := strconv.ParseUint(r.Checksum, 0, 16)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%v, %v", err1, err2)
		}
		d.add(r.Scope, r.Age, kind, r.ID, r.Router, uint32(sequence), uint32(checksum))
	}
	return d.sort(), nil
}

type frrLSA struct {
	LSID, AdvertisedRouter, SequenceNumber, Checksum string
	LSAAge                                           int
}

func (d database) addFRR(scope string, kind uint16, all []frrLSA) error {
	for _, l := range all {
		sequence, err1 := strconv.ParseUint(l.SequenceNumber, 16, 32)
		checksum, err2 := strconv.ParseUint(l.Checksum, 16, 16)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%v, %v", err1, err2)
		}
		d.add(scope, l.LSAAge, kind, l.LSID, l.AdvertisedRouter, uint32(sequence), uint32(checksum))
	}
	return nil
}

func (m *member) frrDatabase2() (database, error) {
	var answer struct {
		Areas map[string]struct {
			RouterLinkStates, NetworkLinkStates, SummaryLinkStates, AsbrSummaryLinkStates, NSSAExternalLinkStates []frrLSA
		}
		ASExternalLinkStates []frrLSA
	}
	if err := m.frrJSON(&answer, "show ip ospf database"); err != nil {
		return nil, err
	}
	d := database{}
	err := d.addFRR("as", 5, answer.ASExternalLinkStates)
	for name, a := range answer.Areas {
		id, _, _ := strings.Cut(name, " ")
		for kind, all := range map[uint16][]frrLSA{1: a.RouterLinkStates, 2: a.NetworkLinkStates, 3: a.SummaryLinkStates, 4: a.AsbrSummaryLinkStates, 7: a.NSSAExternalLinkStates} {
			if err == nil {
				err = d.addFRR("area "+id, kind, all)
			}
		}
	}
	return d.sort(), err
}

// frrTypes are FRR's words for types of OSPFv3.
var frrTypes = map[string]uint16{"Router": 0x2001, "Network": 0x2002, "Inter-Prefix": 0x2003, "Inter-Router": 0x2004, "AS-External": 0x4005,
	"NSSA": 0x2007, "Type-7": 0x2007, "Link": 8, "Intra-Prefix": 0x2009}

type frrLSA3 struct {
	Age                                  int
	Type, LinkStateID, AdvertisingRouter string
	LSSequenceNumber, Checksum           uint32
}

func (d database) addFRR3(scope string, all []frrLSA3) error {
	for _, l := range all {
		kind, ok := frrTypes[l.Type]
		if l.Type == "Grace" {
			continue
		}
		if !ok {
			return fmt.Errorf("FRR has an LSA of type %s", l.Type)
		}
		d.add(scope, l.Age, kind, l.LinkStateID, l.AdvertisingRouter, l.LSSequenceNumber, l.Checksum)
	}
	return nil
}

// frrDatabase3 asks for all details: without them ospf6d names no checksums. (What it dumps has them as well; but asked for
// that again and again it has died.)
func (m *member) frrDatabase3() (database, error) {
	var answer struct {
		AreaScopedLinkStateDb, InterfaceScopedLinkStateDb, ASScopedLinkStateDb []struct {
			AreaID, Interface string
			LSA               []frrLSA3
		}
	}
	if err := m.frrJSON(&answer, "show ipv6 ospf6 database detail"); err != nil {
		return nil, err
	}
	d := database{}
	for _, x := range answer.AreaScopedLinkStateDb {
		if err := d.addFRR3("area "+dottedArea(x.AreaID), x.LSA); err != nil {
			return nil, err
		}
	}
	for _, x := range answer.InterfaceScopedLinkStateDb {
		if err := d.addFRR3("link "+x.Interface, x.LSA); err != nil {
			return nil, err
		}
	}
	for _, x := range answer.ASScopedLinkStateDb {
		if err := d.addFRR3("as", x.LSA); err != nil {
			return nil, err
		}
	}
	return d.sort(), nil
}

func dottedArea(text string) string {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return dotted(uint32(n))
	}
	return text
}

func dotted(n uint32) string {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

var birdLSA = regexp.MustCompile(`^ ([0-9a-f]{4})\s+(\S+)\s+(\S+)\s+([0-9a-f]{8})\s+(\d+)\s+([0-9a-f]{4})$`)

func (m *member) birdDatabase(version string) (database, error) {
	out, err := m.run("birdc", "show", "ospf", "lsadb", birdNames[version])
	if err != nil {
		return nil, err
	}
	d, scope := database{}, ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		f := birdLSA.FindStringSubmatch(line)
		switch {
		case line == "Global":
			scope = "as"
		case strings.HasPrefix(line, "Area "):
			scope = "area " + strings.TrimPrefix(line, "Area ")
		case strings.HasPrefix(line, "Link "):
			scope = "link " + strings.TrimPrefix(line, "Link ")
		case f != nil:
			kind, _ := strconv.ParseUint(f[1], 16, 16)
			if slices.Contains(opaque, uint16(kind)) {
				continue
			}
			sequence, _ := strconv.ParseUint(f[4], 16, 32)
			age, _ := strconv.Atoi(f[5])
			checksum, _ := strconv.ParseUint(f[6], 16, 16)
			d.add(scope, age, uint16(kind), f[2], f[3], uint32(sequence), uint32(checksum))
		}
	}
	return d.sort(), nil
}

// identical wants the routers to have, of every area and link that several of them are in, and of the externals, one and
// the same database.
func (w *world) identical(limit time.Duration) {
	w.t.Helper()
	for _, v := range []string{v2, v3, v3ipv4} {
		if slices.ContainsFunc(w.routers, func(m *member) bool { return m.speaks(v) }) {
			w.within(limit, "the databases of "+v+" are identical", func() error { return w.compare(v) })
		}
	}
}

func (w *world) compare(version string) error {
	first := map[string]*member{}
	all := map[*member]database{}
	count := 0
	for _, m := range w.routers {
		if !m.speaks(version) {
			continue
		}
		d, err := m.database(version)
		if err != nil {
			return err
		}
		all[m] = d
		for _, scope := range m.scopes(version) {
			o := first[scope]
			if o == nil {
				first[scope] = m
				continue
			}
			if err := differ(scope, o, m, all[o][scope], d[scope]); err != nil {
				return err
			}
			count += len(d[scope])
		}
	}
	if count == 0 {
		return fmt.Errorf("no LSA is in two databases")
	}
	return nil
}

// scopes are those in which a router has to have what others have. Externals do not come into stub areas.
func (m *member) scopes(version string) (all []string) {
	external := false
	for _, id := range m.areaIDs(version) {
		all = append(all, "area "+dotted(uint32(id)))
		external = external || m.areas[id].kind == ""
	}
	if external {
		all = append(all, "as")
	}
	for _, q := range m.in(version) {
		if version != v2 && !q.passive {
			all = append(all, "link "+q.name())
		}
	}
	return all
}

func differ(scope string, a, b *member, of, than []string) error {
	var lines []string
	for _, row := range of {
		if !slices.Contains(than, row) {
			lines = append(lines, a.name+" alone has "+row)
		}
	}
	for _, row := range than {
		if !slices.Contains(of, row) {
			lines = append(lines, b.name+" alone has "+row)
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("%s: %d and %d LSAs\n\t%s", scope, len(of), len(than), strings.Join(lines[:min(len(lines), 12)], "\n\t"))
	}
	return nil
}
