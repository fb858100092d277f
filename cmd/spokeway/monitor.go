package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/logs"
)

func (a *app) monitorCommand() *cobra.Command {
	var f logs.Filter
	level := "info"
	c := &cobra.Command{
		Use:   "monitor",
		Short: "print events as they happen",
		Long: "Print events as they happen, until interrupted. With -o json each is one JSON object on a line. A reader that is\n" +
			"too slow is told how many events it lost.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if f.Level, err = logs.ParseLevel(level); err != nil {
				return usagef("%w", err)
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
			defer stop()
			return a.monitor(ctx, f)
		},
	}
	c.Flags().StringVar(&f.Peer, "peer", "", "only events about this protocol or NBMA `ADDRESS`")
	c.Flags().StringVar(&f.Tunnel, "tunnel", "", "only events of this `TUNNEL`")
	c.Flags().StringVar(&f.Event, "event", "", "only events whose name begins with `NAME`, such as nhrp.")
	c.Flags().StringVar(&level, "level", level, "this `LEVEL` and above: debug, info, warn or error")
	return c
}

func (a *app) monitor(ctx context.Context, f logs.Filter) error {
	enc := json.NewEncoder(a.out)
	return a.client().Monitor(ctx, f, func(e logs.Event) error {
		if a.json() {
			return enc.Encode(e)
		}
		_, err := fmt.Fprintln(a.out, e)
		return err
	})
}
