package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why PEER",
		Short: "walk the way to a peer and name the first stage that fails, with cause and remedy",
		Long: "Walk the way to a peer, named by its protocol or NBMA address: resolve server, underlay route, IKE, ESP,\n" +
			"protection, registered, resolution, adjacency, path. The first stage that fails is told with its cause and a\n" +
			"remedy; the exit code is 3 then, and 4 when the peer is unknown.",
		Args:              exactly(1, "PEER: its protocol or NBMA address"),
		ValidArgsFunction: a.completePeer(),
		RunE:              func(c *cobra.Command, args []string) error { return a.why(c.Context(), args[0]) },
	}
}

func (a *app) why(ctx context.Context, peer string) error {
	stages, err := a.client().Why(ctx, peer)
	if err != nil {
		return err
	}
	if a.json() {
		err = query.JSON(a.out, stages)
	} else {
		err = query.Stages(a.out, stages)
	}
	if err == nil && slices.ContainsFunc(stages, func(s nhrp.Stage) bool { return s.State == "failed" }) {
		return &exitError{code: exitDegraded}
	}
	return err
}

// completePeer completes the one argument by the peers that the daemon knows, and more words.
func (a *app) completePeer(more ...string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		words := a.known(c, begin)
		for _, w := range more {
			if strings.HasPrefix(w, begin) {
				words = append(words, w)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// known are addresses of peers and names of tunnels that begin as typed, asked of the daemon if there is one.
func (a *app) known(c *cobra.Command, begin string) (words []string) {
	ctx, cancel := context.WithTimeout(c.Context(), time.Second)
	defer cancel()
	data, err := a.client().Show(ctx, "peers", nil)
	if err != nil {
		return nil
	}
	cmd, _, err := query.Match("show", query.Shows(), []string{"peers"})
	if err != nil {
		return nil
	}
	rows, err := cmd.Decode(data)
	if err != nil {
		return nil
	}
	for _, p := range rows.([]nhrp.PeerRow) {
		for _, w := range []string{p.Protocol.String(), p.NBMA, p.Interface} {
			if p.Protocol.IsValid() && strings.HasPrefix(w, begin) && w != "" {
				words = append(words, w)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}
