package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/packet"
)

func (a *app) captureCommand() *cobra.Command {
	var r capture.Request
	var file string
	c := &cobra.Command{
		Use:   "capture PEER",
		Short: "print or write the packets of one peer",
		Long: "Print the packets of one peer, named by its protocol or underlay address, or of `all`, until interrupted; with -w\n" +
			"write them as pcapng, which Wireshark and tcpdump read. Inner packets are those in the tunnel, in clear; outer ones\n" +
			"are ESP, GRE and IKE on the underlay, with IP and UDP headers made anew. Forwarding never waits for a capture: what\n" +
			"does not fit is counted as lost. It takes root, or the user the daemon runs as.",
		Args:              exactly(1, "PEER: its protocol or underlay address, or all"),
		ValidArgsFunction: a.completePeer("all"),
		RunE: func(c *cobra.Command, args []string) error {
			if r.Count < 0 || r.Duration < 0 {
				return usagef("--count and --duration: want what is not negative")
			}
			r.Peer = args[0]
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
			defer stop()
			return a.capture(ctx, r, file)
		},
	}
	c.Flags().BoolVar(&r.Inner, "inner", false, "packets in the tunnel (the default)")
	c.Flags().BoolVar(&r.Outer, "outer", false, "packets on the underlay")
	c.Flags().StringVarP(&file, "write", "w", "", "write pcapng to this `FILE`; - is the standard output")
	c.Flags().IntVar(&r.Count, "count", 0, "end after `N` packets")
	c.Flags().DurationVar(&r.Duration, "duration", 0, "end after this `TIME`, such as 30s")
	return c
}

func (a *app) capture(ctx context.Context, r capture.Request, file string) error {
	body, err := a.client().Capture(ctx, r)
	if err != nil {
		return err
	}
	defer body.Close()
	print, finish := a.printPacket, func() error { return nil }
	if file != "" {
		if print, finish, err = a.writeBlocks(file); err != nil {
			return err
		}
	}
	packets, lost, err := copyBlocks(ctx, capture.NewReader(body), print)
	err = errors.Join(err, finish())
	if file != "" || lost > 0 {
		fmt.Fprintf(a.err, "%d packets, %d lost\n", packets, lost)
	}
	return err
}

// copyBlocks hands over whole blocks alone, so that a file that was interrupted can be read.
func copyBlocks(ctx context.Context, r *capture.Reader, print func(capture.Block) error) (packets int, lost uint64, err error) {
	for {
		b, err := r.Next()
		switch {
		case err == io.EOF || err != nil && ctx.Err() != nil:
			return packets, lost, nil
		case err != nil:
			return packets, lost, fmt.Errorf("read the daemon's answer: %w", err)
		}
		if b.Packet != nil {
			packets++
			lost += b.Packet.Dropped
		}
		if err := print(b); err != nil {
			return packets, lost, err
		}
	}
}

// writeBlocks writes to a file that only its owner may read: it holds what peers send.
func (a *app) writeBlocks(file string) (print func(capture.Block) error, finish func() error, err error) {
	w, finish := a.out, func() error { return nil }
	if file != "-" {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("capture: %w", err)
		}
		w, finish = f, f.Close
	}
	return func(b capture.Block) error {
		_, err := w.Write(b.Raw)
		return err
	}, finish, nil
}

// printPacket prints one line, or one object on a line.
func (a *app) printPacket(b capture.Block) error {
	p := b.Packet
	if p == nil {
		return nil
	}
	row := packetRow{Time: p.Time.Format(time.RFC3339Nano), Interface: p.Interface, Direction: p.Direction.String(), Octets: len(p.Data), Lost: p.Dropped}
	row.look(p.Data)
	if a.json() {
		return json.NewEncoder(a.out).Encode(row)
	}
	_, err := fmt.Fprintf(a.out, "%s %s %-3s %s > %s %s %d octets\n",
		p.Time.Format("15:04:05.000000"), row.Interface, row.Direction, row.Source, row.Destination, row.Protocol, row.Octets)
	return err
}

// packetRow is one packet as text and JSON.
type packetRow struct {
	Time        string `json:"time"`
	Interface   string `json:"interface"`
	Direction   string `json:"direction"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Protocol    string `json:"protocol"`
	Octets      int    `json:"octets"`
	Lost        uint64 `json:"lost"` // packets that were lost before this one
}

var protocols = map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmpv6", 89: "ospf"}

// look reads the addresses, and the ports where there are some.
func (r *packetRow) look(b []byte) {
	p, err := packet.ParseIP(b)
	if err != nil {
		r.Protocol = "malformed"
		return
	}
	r.Source, r.Destination, r.Protocol = p.Source().String(), p.Destination().String(), protocols[p.Protocol]
	if r.Protocol == "" {
		r.Protocol = fmt.Sprintf("protocol-%d", p.Protocol)
	}
	if payload := p.Payload(); (p.Protocol == 6 || p.Protocol == 17) && len(payload) >= 4 && !p.Fragment {
		r.Source = endpointText(r.Source, payload[0], payload[1])
		r.Destination = endpointText(r.Destination, payload[2], payload[3])
	}
}

func endpointText(addr string, high, low byte) string {
	port := fmt.Sprint(int(high)<<8 | int(low))
	if strings.Contains(addr, ":") {
		return "[" + addr + "]:" + port
	}
	return addr + ":" + port
}
