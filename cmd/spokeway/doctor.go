package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/sys"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "check whether this host is fit for the configuration",
		Long: "Check this host: TUN device, capabilities, forwarding, reverse path filters, MTU, firewall rules that drop GRE,\n" +
			"addresses that clash, servers that have no route. Each finding comes with a remedy, and the exit code is 3 when\n" +
			"something must be mended. Nothing is changed. Without a configuration the host alone is checked; as root it\n" +
			"sees more.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c) },
	}
}

func (a *app) doctor(c *cobra.Command) error {
	cfg, _, err := conf.Load(a.config)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !c.Flags().Changed("config"):
		fmt.Fprintf(a.err, "doctor: no configuration at %s: checking the host alone\n", a.config)
		cfg = &conf.Config{}
	case err != nil:
		return &exitError{exitCheck, err}
	}
	in := doctorInput(cfg, a.daemonRuns(c.Context()))
	if in.Running {
		in.Daemon = sys.Listener(a.socket)
	}
	checks := sys.Doctor(in)
	if err := a.findings(checks); err != nil {
		return err
	}
	if slices.ContainsFunc(checks, func(c sys.Check) bool { return c.Status == sys.Fail }) {
		return &exitError{code: exitDegraded}
	}
	return nil
}

func (a *app) daemonRuns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := a.client().Version(ctx)
	return err == nil
}

// doctorInput is what a configuration wants of the host.
func doctorInput(c *conf.Config, running bool) sys.DoctorInput {
	in := sys.DoctorInput{Forwarding: c.Forwarding, Running: running}
	for _, t := range c.Tunnels {
		d := sys.DoctorTunnel{
			Name: t.Name, UnderlayInterface: t.UnderlayInterface, UnderlayAddress: t.UnderlayAddress,
			UnderlayIPv6: t.UnderlayIPv6, Addresses: t.Addresses, MTU: t.MTU,
			Overhead: dataplane.Overhead(outer(t)), UDP: t.Encapsulation == dataplane.GREUDP, Protected: t.Protect != "",
		}
		if t.NHRP != nil {
			for _, s := range t.NHRP.Servers {
				d.Servers = append(d.Servers, s.NBMA)
			}
		}
		in.Tunnels = append(in.Tunnels, d)
	}
	return in
}

// outer is as much of a tunnel as decides how long its headers are.
func outer(t conf.Tunnel) dataplane.Tunnel {
	local := t.UnderlayAddress
	if !local.IsValid() {
		local = netip.IPv4Unspecified()
		if t.UnderlayIPv6 {
			local = netip.IPv6Unspecified()
		}
	}
	return dataplane.Tunnel{Local: local, Key: t.Key, Encapsulation: t.Encapsulation, Wrap: t.Wrap}
}

// findings prints a line per check, those that are well included, and the remedy below it.
func (a *app) findings(checks []sys.Check) error {
	if a.json() {
		return query.JSON(a.out, checks)
	}
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	for _, c := range checks {
		a.printf("%-4s  %-*s  %s\n", c.Status, width, c.Name, c.Detail)
		if c.Remedy != "" {
			a.printf("%4s  %*s  remedy: %s\n", "", width, "", c.Remedy)
		}
	}
	return nil
}
