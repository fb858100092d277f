package sys

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/spokeway/spokeway/internal/core"
)

// nameserver answers on UDP and TCP of one port.
func nameserver(t *testing.T, handle dns.HandlerFunc) (port string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skip("needs a loopback interface: ", err)
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handle}, {Listener: ln, Handler: handle}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go s.ActivateAndServe()
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
	_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
	return port
}

func record(t *testing.T, s string) dns.RR {
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func TestResolve(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		ip(t, "link", "set", "lo", "up")
	}
	zone := map[string][]string{
		"both.example. A":      {"both.example. 300 IN A 192.0.2.1", "both.example. 300 IN A 192.0.2.2"},
		"both.example. AAAA":   {"both.example. 60 IN AAAA 2001:db8::1"},
		"alias.example. A":     {"alias.example. 20 IN CNAME real.example.", "real.example. 300 IN A 192.0.2.3"},
		"alias.example. AAAA":  nil,
		"zero.example. A":      {"zero.example. 0 IN A 192.0.2.4"},
		"zero.example. AAAA":   nil,
		"long.example. A":      {"long.example. 600 IN A 192.0.2.5"},
		"long.example. AAAA":   nil,
		"noaddr.example. A":    nil,
		"noaddr.example. AAAA": nil,
	}
	port := nameserver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name := q.Question[0].Name
		rrs, known := zone[name+" "+dns.TypeToString[q.Question[0].Qtype]]
		switch {
		case name == "broken.example.":
			m.Rcode = dns.RcodeServerFailure
		case !known:
			m.Rcode = dns.RcodeNameError
		case name == "long.example." && w.RemoteAddr().Network() == "udp":
			m.Truncated = true
		default:
			for _, s := range rrs {
				m.Answer = append(m.Answer, record(t, s))
			}
		}
		w.WriteMsg(m)
	})
	dir := t.TempDir()
	r := &resolver{hosts: filepath.Join(dir, "hosts"), config: filepath.Join(dir, "resolv.conf"), port: port}
	os.WriteFile(r.hosts, []byte("127.0.0.1 localhost\n192.0.2.7 Hub.example hub # ours\n2001:db8::7 hub.example\n#192.0.2.8 hub.example\n"), 0o600)
	os.WriteFile(r.config, []byte("nameserver 127.0.0.1\n"), 0o600)
	r.system = func(_ context.Context, _, name string) ([]netip.Addr, error) {
		if name == "shortname" {
			return []netip.Addr{addr("192.0.2.9")}, nil
		}
		return nil, errors.New("no")
	}
	addrs := func(ss ...string) (out []netip.Addr) {
		for _, s := range ss {
			out = append(out, addr(s))
		}
		return out
	}
	tests := []struct {
		name string
		want core.Resolved
	}{
		{"192.0.2.1", core.Resolved{Addrs: addrs("192.0.2.1"), TTL: maxTTL}},
		{"both.example", core.Resolved{Addrs: addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), TTL: time.Minute}},
		{"both.example.", core.Resolved{Addrs: addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), TTL: time.Minute}},
		{"alias.example", core.Resolved{Addrs: addrs("192.0.2.3"), TTL: 20 * time.Second}},
		{"zero.example", core.Resolved{Addrs: addrs("192.0.2.4"), TTL: minTTL}},
		{"long.example", core.Resolved{Addrs: addrs("192.0.2.5"), TTL: 10 * time.Minute}},
		{"hub.example", core.Resolved{Addrs: addrs("192.0.2.7", "2001:db8::7"), TTL: hostsTTL}},
		{"shortname", core.Resolved{Addrs: addrs("192.0.2.9"), TTL: hostsTTL}},
		{"noaddr.example", core.Resolved{Err: "resolve noaddr.example: no such name"}},
		{"missing.example", core.Resolved{Err: "resolve missing.example: no such name"}},
		{"broken.example", core.Resolved{Err: "resolve broken.example: server 127.0.0.1 answered SERVFAIL"}},
	}
	for _, tt := range tests {
		tt.want.Name = tt.name
		if got := r.resolve(t.Context(), tt.name); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("got %+v, want %+v", got, tt.want)
		}
	}
	r.config = filepath.Join(dir, "none")
	if got := r.resolve(t.Context(), "both.example"); !strings.Contains(got.Err, "none") {
		t.Errorf("without resolv.conf: %+v", got)
	}
}
