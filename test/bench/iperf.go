package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// flow is where iperf3 runs: its client in one namespace, its server in another.
type flow struct {
	lab      *lab
	from, to string
	source   string // "" lets the kernel choose
	target   string
}

// serve starts the server that every run of the flow uses.
func (f flow) serve() error {
	p, err := f.lab.start(f.to, nil, "iperf3", "-s", "-B", f.target)
	if err != nil {
		return err
	}
	return f.lab.until("iperf3 listens", 5*time.Second, func() bool {
		return strings.Contains(p.tail(), "listening") || f.listens()
	})
}

// listens asks the kernel, as iperf3 keeps what it prints when it prints into a file.
func (f flow) listens() bool {
	out, err := f.lab.output(f.to, "ss", "-Hltn", "sport = :5201")
	return err == nil && len(out) > 0
}

// tcp is what arrived, in bits per second, and in bytes.
func (f flow) tcp(streams int, d time.Duration) (iperfResult, error) {
	return f.run(d, "-P", strconv.Itoa(streams))
}

// udp64 sends datagrams of 64 octets as fast as it can.
func (f flow) udp64(d time.Duration) (iperfResult, error) {
	return f.run(d, "-u", "-b", "0", "-l", "64")
}

// iperfResult is what arrived.
type iperfResult struct {
	bitsPerSecond, bytes      float64
	packetsPerSecond, packets float64 // of UDP
}

// run tries again while the server is still busy with the end of the run before.
func (f flow) run(d time.Duration, args ...string) (r iperfResult, err error) {
	argv := append([]string{"iperf3", "-J", "-c", f.target, "-t", strconv.Itoa(max(1, int(d.Round(time.Second).Seconds())))}, args...)
	if f.source != "" {
		argv = append(argv, "-B", f.source)
	}
	for try := 0; ; try++ {
		out, runErr := f.lab.output(f.from, argv...)
		r, err = parseIperf(out)
		if err == nil || !errors.Is(err, errBusy) || try == 50 {
			return r, errors.Join(err, ifNothing(out, runErr))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func ifNothing(out []byte, err error) error {
	if len(out) > 0 {
		return nil
	}
	return err
}

var errBusy = errors.New("the server is busy")

func parseIperf(out []byte) (r iperfResult, err error) {
	type sum struct {
		Rate    float64 `json:"bits_per_second"`
		Bytes   float64
		Seconds float64
		Packets float64
		Lost    float64 `json:"lost_packets"`
	}
	var v struct {
		Error string
		End   struct {
			Received *sum `json:"sum_received"`
			Sum      *sum `json:"sum"`
		}
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return r, fmt.Errorf("iperf3 printed no JSON: %w", err)
	}
	switch {
	case strings.Contains(v.Error, "busy"):
		return r, errBusy
	case v.Error != "":
		return r, fmt.Errorf("iperf3: %s", v.Error)
	case v.End.Sum != nil && v.End.Sum.Packets > 0 && v.End.Sum.Seconds > 0: // UDP: less what was lost
		r.packets = v.End.Sum.Packets - v.End.Sum.Lost
		r.packetsPerSecond = r.packets / v.End.Sum.Seconds
	case v.End.Received != nil:
		r.bitsPerSecond, r.bytes = v.End.Received.Rate, v.End.Received.Bytes
	default:
		return r, errors.New("iperf3 reported no sum")
	}
	return r, nil
}
