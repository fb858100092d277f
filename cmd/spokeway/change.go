package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/query"
)

func (a *app) clearCommand() *cobra.Command {
	clears := query.Clears()
	return &cobra.Command{
		Use:               "clear WHAT [FILTER]",
		Short:             "forget what was learned or counted",
		Long:              "Forget what was learned or counted. It takes root, or the user the daemon runs as.\n\n" + list(clears),
		ValidArgsFunction: a.completeWords(clears),
		RunE: func(c *cobra.Command, args []string) error {
			cmd, rest, err := query.Match("clear", clears, args)
			if err != nil {
				return err
			}
			if len(rest) > 1 {
				return usagef("%q is one argument too many", rest[1])
			}
			return a.clear(c, cmd.Name, strings.Join(rest, ""))
		},
	}
}

func (a *app) clear(c *cobra.Command, what, filter string) error {
	n, err := a.client().Clear(c.Context(), what, filter)
	if err != nil {
		return describe("clear "+what, err)
	}
	if n == 0 && filter != "" {
		return fmt.Errorf("clear %s: nothing matches %q: %w", what, filter, query.ErrNotFound)
	}
	if a.json() {
		return query.JSON(a.out, []api.Cleared{{Cleared: n}})
	}
	a.printf("cleared %d\n", n)
	return nil
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "make the daemon read its configuration again and apply what differs",
		Long: "Make the daemon read its configuration again. Only what differs is touched. With an error in it nothing is,\n" +
			"and the exit code is 6. SIGHUP does the same.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			changes, err := a.client().Reload(c.Context())
			if err != nil {
				return err
			}
			return a.changed(changes)
		},
	}
}

func (a *app) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restart",
		Short: "end the daemon so that the next takes over its routes",
		Long: "End the daemon for another to take its place at once, as after an upgrade: routes, addresses and tunnel devices stay,\n" +
			"registrations are not withdrawn, and OSPF neighbours wait where graceful-restart has a period. The service manager\n" +
			"starts the next; without one, start it yourself. Packets are forwarded again once it runs.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return a.client().Restart(c.Context()) },
	}
}

func (a *app) changed(changes []string) error {
	if a.json() {
		type row struct {
			Change string `json:"change"`
		}
		rows := make([]row, len(changes))
		for i, c := range changes {
			rows[i].Change = c
		}
		return query.JSON(a.out, rows)
	}
	if len(changes) == 0 {
		a.printf("nothing changed\n")
	}
	for _, c := range changes {
		a.printf("%s\n", c)
	}
	return nil
}

func (a *app) debugCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "debug [PEER [on|off]]",
		Short: "log everything about one peer, whatever the log level; alone: list the peers that are",
		Args:  between(0, 2, ""),
		RunE:  a.debug,
	}
}

func (a *app) debug(c *cobra.Command, args []string) error {
	var peers []string
	var err error
	switch {
	case len(args) == 0:
		peers, err = a.client().Debugged(c.Context())
	case len(args) == 1 || args[1] == "on" || args[1] == "off":
		peers, err = a.client().Debug(c.Context(), args[0], len(args) == 1 || args[1] == "on")
	default:
		return usagef("%q: want on or off", args[1])
	}
	if err != nil {
		return err
	}
	return a.debugged(peers)
}

func (a *app) debugged(peers []string) error {
	type row struct {
		Peer string `json:"peer"`
	}
	rows := make([]row, len(peers))
	for i, p := range peers {
		rows[i].Peer = p
	}
	return a.print(rows)
}

// describe says what was being done, for commands whose words the tree does not know.
func describe(doing string, err error) error { return fmt.Errorf("%s: %w", doing, err) }
