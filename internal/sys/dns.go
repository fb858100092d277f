package sys

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/spokeway/spokeway/internal/core"
)

// Times of name resolution.
const (
	dnsTimeout  = 2 * time.Second // of one question to one server
	dnsAttempts = 2
	hostsTTL    = time.Minute     // of what /etc/hosts or the system's own resolver says
	minTTL      = 5 * time.Second // so that a TTL of 0 is no busy loop
	maxTTL      = 24 * time.Hour
)

// ednsSize is the UDP answer we ask for; 1232 passes any IPv6 path unfragmented (DNS flag day 2020).
const ednsSize = 1232

// resolver answers names as the host's own resolver does, but with their TTL.
type resolver struct {
	hosts, config string // files
	port          string // of the servers, unless the file says otherwise
	system        func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newResolver() *resolver {
	return &resolver{hosts: "/etc/hosts", config: "/etc/resolv.conf", system: net.DefaultResolver.LookupNetIP}
}

// answer is what was found out about a name.
type answer struct {
	addrs []netip.Addr
	ttl   time.Duration
}

var errNoName = errors.New("no such name")

// resolve asks /etc/hosts, then the servers of /etc/resolv.conf, then, when those do not answer, the system.
func (r *resolver) resolve(ctx context.Context, name string) core.Resolved {
	a, err := r.lookup(ctx, name)
	if err != nil {
		return core.Resolved{Name: name, Err: fmt.Sprintf("resolve %s: %v", name, err)}
	}
	return core.Resolved{Name: name, Addrs: a.addrs, TTL: min(max(a.ttl, minTTL), maxTTL)}
}

func (r *resolver) lookup(ctx context.Context, name string) (answer, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return answer{[]netip.Addr{a}, maxTTL}, nil
	}
	if addrs := r.fromHosts(name); len(addrs) > 0 {
		return answer{addrs, hostsTTL}, nil
	}
	a, err := r.fromServers(ctx, name)
	if err == nil || errors.Is(err, errNoName) && strings.Contains(name, ".") {
		return a, err
	}
	addrs, serr := r.system(ctx, "ip", name)
	if serr != nil {
		return answer{}, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return answer{addrs, hostsTTL}, nil
}

// fromHosts looks a name up in the hosts file; hosts(5).
func (r *resolver) fromHosts(name string) (addrs []netip.Addr) {
	f, err := os.Open(r.hosts)
	if err != nil {
		return nil
	}
	defer f.Close()
	name = strings.TrimSuffix(name, ".")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 || !slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) }) {
			continue
		}
		if a, err := netip.ParseAddr(words[0]); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// fromServers asks for both families at once. One family is enough of an answer.
func (r *resolver) fromServers(ctx context.Context, name string) (answer, error) {
	cfg, err := dns.ClientConfigFromFile(r.config)
	if err != nil {
		return answer{}, err
	}
	if len(cfg.Servers) == 0 {
		return answer{}, fmt.Errorf("%s names no server", r.config)
	}
	type result struct {
		answer
		err error
	}
	results := make([]chan result, 2)
	for i, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		results[i] = make(chan result, 1)
		go func() {
			a, err := r.ask(ctx, cfg, name, kind)
			results[i] <- result{a, err}
		}()
	}
	v4, v6 := <-results[0], <-results[1]
	return both(v4.answer, v6.answer, v4.err, v6.err)
}

func both(v4, v6 answer, err4, err6 error) (answer, error) {
	all := answer{addrs: append(v4.addrs, v6.addrs...), ttl: maxTTL}
	for _, a := range []answer{v4, v6} {
		if len(a.addrs) > 0 {
			all.ttl = min(all.ttl, a.ttl)
		}
	}
	switch {
	case len(all.addrs) > 0:
		return all, nil
	case err4 != nil && !errors.Is(err4, errNoName):
		return answer{}, err4
	case err6 != nil && !errors.Is(err6, errNoName):
		return answer{}, err6
	}
	return answer{}, cmp.Or(err4, err6, errNoName)
}

// ask puts one question to the servers in turn. That there is no such name is an answer; a failure of a server is
// not.
func (r *resolver) ask(ctx context.Context, cfg *dns.ClientConfig, name string, kind uint16) (answer, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(ednsSize, false)
	var last error
	for range dnsAttempts {
		for _, server := range cfg.Servers {
			m, err := exchange(ctx, q, net.JoinHostPort(server, cmp.Or(r.port, cfg.Port)))
			switch {
			case err != nil:
				last = err
			case m.Rcode == dns.RcodeNameError:
				return answer{}, errNoName
			case m.Rcode != dns.RcodeSuccess:
				last = fmt.Errorf("server %s answered %s", server, dns.RcodeToString[m.Rcode])
			default:
				return addresses(m)
			}
		}
	}
	return answer{}, last
}

// exchange asks by UDP, and by TCP when the answer did not fit; RFC 7766 section 5.
func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	c := dns.Client{Timeout: dnsTimeout}
	m, _, err := c.ExchangeContext(ctx, q, server)
	if err != nil || !m.Truncated {
		return m, err
	}
	c.Net = "tcp"
	m, _, err = c.ExchangeContext(ctx, q, server)
	return m, err
}

// addresses are those of an answer. They live as long as the shortest-lived record on the way, aliases included.
func addresses(m *dns.Msg) (answer, error) {
	a := answer{ttl: maxTTL}
	for _, rr := range m.Answer {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA
		case *dns.CNAME:
		default:
			continue
		}
		a.ttl = min(a.ttl, time.Duration(rr.Header().Ttl)*time.Second)
		if addr, ok := netip.AddrFromSlice(ip); ok {
			a.addrs = append(a.addrs, addr)
		}
	}
	if len(a.addrs) == 0 {
		return answer{}, errNoName
	}
	return a, nil
}
