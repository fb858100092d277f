package user

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// BenchmarkThroughput is iperf3 between two namespaces: through nothing, through GRE and through GRE in UDP. Both
// planes, both ends of iperf3 and the kernel share the machine's cores. `make bench` has the figures that count.
func BenchmarkThroughput(b *testing.B) {
	needRoot(b, "iperf3")
	for _, c := range []struct {
		name, to      string
		encapsulation dataplane.Encapsulation
	}{
		{"veth", "192.0.2.2", dataplane.GRE}, {"gre", "10.0.0.2", dataplane.GRE}, {"udp", "10.0.0.2", dataplane.GREUDP},
	} {
		for _, args := range []string{"-P1", "-P4", "-u -b 0 -l 64", "-u -b 0 -l 1340"} {
			b.Run(c.name+"/"+strings.ReplaceAll(args, " ", ""), func(b *testing.B) {
				w, _, _ := pair(b, dataplane.Tunnel{Encapsulation: c.encapsulation, MTU: 1400}, false)
				server := w.serve("b")
				defer server()
				for b.Loop() {
					w.iperf(b, c.to, args)
				}
			})
		}
	}
}

// BenchmarkHub is spoke to spoke by a hub, through its kernel and by the fast path.
func BenchmarkHub(b *testing.B) {
	needRoot(b, "iperf3")
	for _, fast := range []bool{false, true} {
		for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
			for _, args := range []string{"-P1", "-u -b 0 -l 64"} {
				b.Run(fmt.Sprintf("fast=%v/%v/%s", fast, e, strings.ReplaceAll(args, " ", "")), func(b *testing.B) {
					w, _, _, _ := star(b, dataplane.Tunnel{FastPath: fast, Encapsulation: e})
					server := w.serve("b")
					defer server()
					for b.Loop() {
						w.iperf(b, "10.0.0.3", args)
					}
				})
			}
		}
	}
}

// BenchmarkProtected is TCP between two nodes, and by the fast path of a hub, in ESP in UDP. Beside what it carries it
// reports the CPU time of all planes by octet, which is steady where other work shares the cores.
func BenchmarkProtected(b *testing.B) {
	needRoot(b, "iperf3")
	for _, hub := range []bool{false, true} {
		for _, args := range []string{"-P1", "-P4"} {
			b.Run(fmt.Sprintf("hub=%v/%s", hub, args), func(b *testing.B) {
				var w *world
				to := "10.0.0.2"
				if hub {
					w, _, _, _ = protectedStar(b, dataplane.Tunnel{FastPath: true}, inUDP)
					to = "10.0.0.3"
				} else {
					w, _, _ = protectedPair(b, dataplane.Tunnel{MTU: 1400}, inUDP, false, Options{})
				}
				server := w.serve("b")
				defer server()
				for b.Loop() {
					before := ownTime()
					rate := w.iperf(b, to, args)
					b.ReportMetric(float64(ownTime()-before)/(rate*2/8), "CPU-ns/B")
				}
			})
		}
	}
}

// ownTime is the CPU time of this process: of the planes, not of iperf3.
func ownTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPing is the mean round trip of an idle tunnel.
func BenchmarkPing(b *testing.B) {
	needRoot(b, "ping")
	for _, c := range []struct {
		name, to      string
		encapsulation dataplane.Encapsulation
	}{{"veth", "192.0.2.2", dataplane.GRE}, {"gre", "10.0.0.2", dataplane.GRE}, {"udp", "10.0.0.2", dataplane.GREUDP}} {
		b.Run(c.name, func(b *testing.B) {
			w, _, _ := pair(b, dataplane.Tunnel{Encapsulation: c.encapsulation, MTU: 1400}, false)
			for b.Loop() {
				out := w.in("a", "ping -q -c 500 -i 0.002 "+c.to)
				_, times, _ := strings.Cut(out, "mdev = ")
				fields := strings.Split(times, "/")
				mean, err := strconv.ParseFloat(fields[min(1, len(fields)-1)], 64)
				if err != nil {
					b.Fatalf("ping says %s", out)
				}
				b.ReportMetric(mean*1000, "µs")
			}
		})
	}
}

// serve runs an iperf3 server until stop.
func (w *world) serve(ns string) (stop func()) {
	c := w.command(ns, "iperf3 -s --forceflush")
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	line := make([]byte, 4096)
	for n := 0; !strings.Contains(string(line[:n]), "listening"); {
		m, err := out.Read(line[n:])
		if err != nil {
			w.t.Fatal("iperf3 did not start")
		}
		n += m
	}
	go func() {
		for _, err := out.Read(line); err == nil; _, err = out.Read(line) {
		}
	}()
	return func() { c.Process.Kill(); c.Wait() }
}

// transfer runs iperf3 once, to an address of a namespace. The server is its own: one that just served may still be busy.
func (w *world) transfer(from, ns, args string) {
	w.t.Helper()
	stop := w.serve(ns)
	defer stop()
	w.in(from, "iperf3 -c "+args)
}

// iperf runs iperf3 for two seconds, reports what came and gives it, in bits a second of TCP.
func (w *world) iperf(b *testing.B, to, args string) float64 {
	out, err := w.command("a", "iperf3 -J -t 2 -c "+to+" "+args).Output()
	var r struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sum struct {
				Seconds float64
				Packets float64
				Lost    float64 `json:"lost_packets"`
			}
		}
	}
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil || r.Error != "" {
		b.Fatalf("iperf3: %v %v %s", err, jsonErr, r.Error)
	}
	if sum := r.End.Sum; strings.HasPrefix(args, "-u") {
		b.ReportMetric((sum.Packets-sum.Lost)/sum.Seconds/1000, "kpps")
		return 0
	}
	b.ReportMetric(r.End.Received.Rate/1e9, "Gbit/s")
	return r.End.Received.Rate
}
