package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/query"
)

func (a *app) showCommand() *cobra.Command {
	shows := query.Shows()
	return &cobra.Command{
		Use:   "show WHAT [FILTER...]",
		Short: "show the state of the running router",
		Long: "Show a snapshot of the running router.\n\n" + list(shows) +
			"\nA FILTER is an address, a prefix, or a word such as an interface or a state; rows that match all are shown.",
		ValidArgsFunction: a.completeWords(shows),
		RunE: func(c *cobra.Command, args []string) error {
			cmd, rest, err := query.Match("show", shows, args)
			if err != nil {
				return err
			}
			if cmd.Args == "" && len(rest) > 0 {
				return usagef("%q is one argument too many", rest[0])
			}
			return a.show(c, cmd, rest)
		},
	}
}

func (a *app) show(c *cobra.Command, cmd query.Command, args []string) error {
	data, err := a.client().Show(c.Context(), cmd.Name, args)
	if words := further(query.Shows(), cmd.Name); err != nil && exitCode(err) == exitNotFound && len(words) > 0 {
		return fmt.Errorf("show %s: %w; `show %s` goes on with %s", cmd.Name, err, cmd.Name, strings.Join(words, ", "))
	}
	if err != nil {
		return describe("show "+cmd.Name, err)
	}
	if a.json() {
		_, err := a.out.Write(data)
		return err
	}
	rows, err := cmd.Decode(data)
	if err != nil {
		return err
	}
	return cmd.Text(a.out, rows, a.output == "wide")
}

// further are the words by which other commands begin where this one ends: one of them may have been meant as a filter, and
// mistyped.
func further(table []query.Command, name string) (words []string) {
	for _, c := range table {
		if rest, ok := strings.CutPrefix(c.Name, name+" "); ok {
			words = append(words, rest)
		}
	}
	return words
}

// list is a table of commands for the help.
func list(commands []query.Command) string {
	var b strings.Builder
	width := 12
	for _, c := range commands {
		width = max(width, len(c.Name)+2)
	}
	for _, c := range commands {
		b.WriteString("  " + c.Name + strings.Repeat(" ", width-len(c.Name)) + c.Help + "\n")
	}
	return b.String()
}

// completeWords completes the names of a table, then its filters by what the daemon knows.
func (a *app) completeWords(table []query.Command) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		words := query.Complete(table, args, begin)
		if _, _, err := query.Match(c.Name(), table, args); err == nil {
			words = append(words, a.known(c, begin)...)
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
