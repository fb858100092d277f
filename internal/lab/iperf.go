package lab

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// iperfStart is how long an iperf3 server may take until it listens.
const iperfStart = 3 * time.Second

// Iperf runs an iperf3 server for one test on one node and its client on the other.
func (w *world) Iperf(i scenario.Iperf) (scenario.IperfResult, error) {
	from, err := w.node(i.From)
	if err != nil {
		return scenario.IperfResult{}, err
	}
	to, err := w.node(i.To)
	if err != nil {
		return scenario.IperfResult{}, err
	}
	server, err := w.spawn(to.space, exec.Command("iperf3", "-s", "-1", "-B", i.Address.String()))
	if err != nil {
		return scenario.IperfResult{}, err
	}
	defer server.kill()
	out, err := w.iperfClient(from.space, i)
	if err != nil {
		return scenario.IperfResult{}, err
	}
	return parseIperf(out, i.UDP)
}

// iperfClient tries until the server listens. Only an attempt that was refused is repeated: it measured nothing.
func (w *world) iperfClient(s *space, i scenario.Iperf) ([]byte, error) {
	deadline := time.Now().Add(iperfStart)
	for {
		out, err := w.run(s, iperfArgs(i))
		complaint := iperfError(out) // with -J also where the exit code is 0
		if err == nil && complaint == "" {
			return out, nil
		}
		if !strings.Contains(complaint, "refused") || time.Now().After(deadline) {
			return nil, fmt.Errorf("iperf3 from %s to %s: %s (%v)", i.From, i.To, complaint, err)
		}
		if err := w.Sleep(50 * time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func iperfArgs(i scenario.Iperf) []string {
	seconds := strconv.FormatFloat(max(1, i.Time.Round(time.Second).Seconds()), 'f', 0, 64)
	argv := []string{"iperf3", "-J", "-c", i.Address.String(), "-t", seconds, "-P", strconv.Itoa(i.Streams)}
	if i.Reverse {
		argv = append(argv, "-R")
	}
	if i.UDP {
		argv = append(argv, "-u", "-b", strconv.FormatUint(i.Rate, 10))
	} else if i.Rate > 0 {
		argv = append(argv, "-b", strconv.FormatUint(i.Rate, 10))
	}
	if i.Length > 0 {
		argv = append(argv, "-l", strconv.Itoa(i.Length))
	}
	return argv
}

func iperfError(out []byte) string {
	var e struct{ Error string }
	if json.Unmarshal(out, &e) == nil {
		return e.Error
	}
	return strings.TrimSpace(string(out))
}

func parseIperf(out []byte, udp bool) (scenario.IperfResult, error) {
	type sum struct {
		BitsPerSecond float64 `json:"bits_per_second"`
		Retransmits   int     `json:"retransmits"`
		LostPercent   float64 `json:"lost_percent"`
	}
	var v struct {
		End struct {
			Sent     sum `json:"sum_sent"`
			Received sum `json:"sum_received"`
			Sum      sum `json:"sum"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return scenario.IperfResult{}, fmt.Errorf("iperf3 printed no JSON: %w", err)
	}
	r := scenario.IperfResult{BitsPerSecond: v.End.Received.BitsPerSecond, Retransmits: v.End.Sent.Retransmits, Raw: out}
	if udp {
		r.LostPercent = v.End.Sum.LostPercent
		r.BitsPerSecond = v.End.Sum.BitsPerSecond * (1 - r.LostPercent/100)
	}
	return r, nil
}
