package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/dataplane/user"
	"github.com/spokeway/spokeway/internal/packet/esp"
)

// staticCommand is the hidden command that is a data plane with keys of its own, and no control plane: what is measured
// is protection alone.
const staticCommand = "static"

// staticConfig is one protected tunnel.
type staticConfig struct {
	Local   netip.Addr
	Address netip.Prefix
	Fast    bool
	Raw     bool // ESP without UDP
	Peers   []staticPeer
}

// staticPeer is an SA with a peer, and what is behind it.
type staticPeer struct {
	NextHop, Remote netip.Addr
	In, Out         uint32 // SPIs
	Route           netip.Prefix
}

const staticDevice = "tun0"

// runStatic runs until SIGTERM.
func runStatic(args []string) error {
	f := flag.NewFlagSet(staticCommand, flag.ContinueOnError)
	config := f.String("c", "", "configuration")
	ready := f.String("ready", "", "file that is made when all is set up")
	look := f.String("pprof", "", "socket of the profiler")
	if err := f.Parse(args); err != nil {
		return err
	}
	b, err := os.ReadFile(*config)
	if err != nil {
		return err
	}
	var c staticConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	debug.SetGCPercent(50)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	p, err := user.New(func(event any) bool { return tellFailure(event) }, user.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := c.apply(p); err != nil {
		return err
	}
	if *look != "" {
		profiler, err := net.Listen("unix", *look)
		if err != nil {
			return err
		}
		defer profiler.Close()
		go http.Serve(profiler, profilerMux())
	}
	if err := os.WriteFile(*ready, nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	json.NewEncoder(os.Stdout).Encode(p.Stats())
	return nil
}

func tellFailure(event any) bool {
	if f, failed := event.(dataplane.Failed); failed {
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", f.Tunnel, f.Doing, f.Err)
	}
	return true
}

// apply makes the tunnel, in the plane and in the kernel.
func (c staticConfig) apply(p *user.Plane) error {
	p.Do(dataplane.SetTunnel{Tunnel: dataplane.Tunnel{
		Name: staticDevice, Cloud: 1, Local: c.Local, Key: dataplane.Key{Value: 42, Set: true}, Encapsulation: dataplane.ESP,
		Protected: true, Addresses: []netip.Prefix{c.Address}, MTU: innerMTU, TTL: 64, MSS: true, FastPath: c.Fast,
	}})
	p.Do(dataplane.SetRoute{Prefix: c.Address.Masked(), NextHops: []dataplane.NextHop{{Tunnel: staticDevice}}})
	script := []string{
		fmt.Sprintf("addr add %s dev %s", c.Address, staticDevice),
		fmt.Sprintf("link set %s mtu %d up", staticDevice, innerMTU),
	}
	for i, peer := range c.Peers {
		c.applyPeer(p, dataplane.SA(i+1), peer)
		if peer.Route.IsValid() {
			script = append(script, fmt.Sprintf("route add %s via %s", peer.Route, peer.NextHop))
		}
	}
	for _, line := range script {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

func (c staticConfig) applyPeer(p *user.Plane, sa dataplane.SA, peer staticPeer) {
	port := uint16(dataplane.NATPort)
	if c.Raw {
		port = 0
	}
	p.Do(dataplane.SetInbound{SA: sa, SPI: peer.In, Keys: staticKeys(peer.In)})
	p.Do(dataplane.SetOutbound{
		SA: sa, SPI: peer.Out, Keys: staticKeys(peer.Out),
		Local: netip.AddrPortFrom(c.Local, port), Remote: netip.AddrPortFrom(peer.Remote, port),
	})
	p.Do(dataplane.SetAdjacency{Tunnel: staticDevice, NextHop: peer.NextHop, Endpoint: netip.AddrPortFrom(peer.Remote, port), SA: sa})
	if peer.Route.IsValid() {
		p.Do(dataplane.SetRoute{Prefix: peer.Route, NextHops: []dataplane.NextHop{{Tunnel: staticDevice, Via: peer.NextHop}}})
	}
}

// staticKeys are AES-256-GCM's, no secret: both ends make them of the SPI.
func staticKeys(spi uint32) esp.Keys {
	k := esp.Keys{Suite: esp.Suite{Encryption: esp.AESGCM, KeyBits: 256}, Encryption: make([]byte, 36)}
	for i := range k.Encryption {
		k.Encryption[i] = byte(int(spi)*7 + i)
	}
	return k
}

// static starts a data plane with static keys in a namespace, and waits until it is there.
func (l *lab) static(o options, space string, c staticConfig) (p *process, profiler string, err error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, "", err
	}
	file, ready := filepath.Join(l.dir, space+".json"), filepath.Join(l.dir, space+".ready")
	profiler = filepath.Join(l.dir, space+".pprof")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, "", err
	}
	p, err = l.start(space, nil, o.self, staticCommand, "-c", file, "-ready", ready, "-pprof", profiler)
	if err != nil {
		return nil, "", err
	}
	err = l.until("the data plane is there", 5*time.Second, func() bool {
		_, err := os.Stat(ready)
		return err == nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("%w: %s", err, p.tail())
	}
	return p, profiler, nil
}

// staticSystem is two routers with a protected tunnel between them.
func staticSystem(l *lab, o options, name, space string, raw bool) (*system, error) {
	if err := l.pair(space); err != nil {
		return nil, err
	}
	var daemons []*process
	for i, end := range []string{"-a", "-b"} {
		p, _, err := l.static(o, space+end, pairEnd(i, raw))
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, p)
	}
	return &system{name: name, flow: l.flow(space, "10.100.0.1", "10.100.0.2"), daemons: daemons}, nil
}

// pairEnd is one of the two.
func pairEnd(i int, raw bool) staticConfig {
	at := func(net byte, i int) netip.Addr { return netip.AddrFrom4([4]byte{10, net, 0, byte(1 + i)}) }
	spi := [2]uint32{0x1000, 0x2000}
	return staticConfig{
		Local: at(9, i), Address: netip.PrefixFrom(at(100, i), 24), Raw: raw,
		Peers: []staticPeer{{NextHop: at(100, 1-i), Remote: at(9, 1-i), In: spi[i], Out: spi[1-i]}},
	}
}

func espUDPSystem(l *lab, o options, _ *report) (*system, error) {
	return staticSystem(l, o, nameESPUDP, "eu", false)
}

func espSystem(l *lab, o options, _ *report) (*system, error) {
	return staticSystem(l, o, nameESP, "er", true)
}

// staticHub is a star whose routers protect what they carry.
func staticHub(l *lab, o options, name, space string, fast bool) (*system, error) {
	s, err := l.star(space)
	if err != nil {
		return nil, err
	}
	hub, a, b := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.1.2"), netip.MustParseAddr("10.9.2.2")
	at := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 100, 0, n}) }
	p, _, err := l.static(o, space+"-h", staticConfig{
		Local: hub, Address: netip.PrefixFrom(at(1), 24), Fast: fast,
		Peers: []staticPeer{
			{at(2), a, 0x1000, 0x2000, netip.MustParsePrefix("192.168.1.0/24")},
			{at(3), b, 0x1001, 0x2001, netip.MustParsePrefix("192.168.2.0/24")},
		},
	})
	if err != nil {
		return nil, err
	}
	for i, spoke := range []netip.Addr{a, b} {
		n := uint32(i)
		_, _, err := l.static(o, space+[]string{"-a", "-b"}[i], staticConfig{
			Local: spoke, Address: netip.PrefixFrom(at(byte(2+i)), 24),
			Peers: []staticPeer{{at(1), hub, 0x2000 + n, 0x1000 + n, netip.MustParsePrefix("192.168.0.0/16")}},
		})
		if err != nil {
			return nil, err
		}
	}
	return &system{name: name, flow: s.flow(), daemons: []*process{p}}, nil
}
