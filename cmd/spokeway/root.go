package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/sys"
)

// app is one run of the program.
type app struct {
	out, err io.Writer
	start    func(daemonOptions) (daemon, error)
	able     func() error // says why this process cannot make tunnels
	harden   func() error // keeps keys out of core dumps
	enter    func(sys.Sandbox) ([]sys.Check, error)

	config string
	socket string
	output string

	running bool // the words were understood: errors from now on are no usage errors
}

func newApp(out, err io.Writer) *app {
	return &app{out: out, err: err, start: startRouter, able: sys.Preflight, harden: sys.Harden, enter: sys.Sandbox.Enter}
}

func (a *app) main(args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	full, cmd, err := expand(root, args)
	if err == nil {
		root.SetArgs(full)
		cmd, err = root.ExecuteContextC(context.Background())
		if err != nil && !a.running && exitCode(err) == exitFailed {
			err = &exitError{exitUsage, err}
		}
	}
	if err != nil {
		report(a.err, cmd, err)
	}
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "spokeway",
		Short: "dynamic multipoint VPN for Linux: NHRP, multipoint GRE, IKEv2 and ESP from one binary and one file",
		Long: "Spokeway turns a Linux host into a hub or a spoke of a dynamic multipoint VPN (DMVPN).\n" +
			"Every command word may be cut short as long as it stays unique: `spokeway sh nh` is `spokeway show nhrp`.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: a.begin,
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", conf.DefaultPath, "configuration `FILE`")
	f.StringVar(&a.socket, "socket", conf.DefaultSocket, "control socket `PATH` of the daemon; $SPOKEWAY_SOCKET changes the default")
	a.socket = cmp.Or(os.Getenv("SPOKEWAY_SOCKET"), a.socket)
	f.StringVarP(&a.output, "output", "o", "table", "print `FORMAT`: table, wide (a table with more columns) or json")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(
		a.runCommand(), a.checkCommand(), a.reloadCommand(), a.restartCommand(),
		a.showCommand(), a.whyCommand(), a.monitorCommand(), a.captureCommand(), a.clearCommand(), a.debugCommand(),
		a.doctorCommand(), a.labCommand(), a.simCommand(),
		a.versionCommand(), a.completionCommand(root), a.docsCommand(root), a.workerCommand(),
	)
	root.InitDefaultHelpCmd()
	return root
}

func (a *app) begin(*cobra.Command, []string) error {
	if a.output != "table" && a.output != "wide" && a.output != "json" {
		return usagef("-o %s: want table, wide or json", a.output)
	}
	a.running = true
	return nil
}

func (a *app) json() bool          { return a.output == "json" }
func (a *app) client() *api.Client { return api.NewClient(a.socket) }

// print writes rows as the user wants them.
func (a *app) print(rows any) error {
	if a.json() {
		return query.JSON(a.out, rows)
	}
	return query.Table(a.out, rows)
}

// group makes a command that only holds others say so when it is typed alone.
func group(c *cobra.Command, members ...*cobra.Command) *cobra.Command {
	c.AddCommand(members...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var names []string
		for _, m := range members {
			if !m.Hidden {
				names = append(names, m.Name())
			}
		}
		return usagef("%s what? one of: %s", c.Name(), strings.Join(names, ", "))
	}
	return c
}

// expand writes out command words that were cut short. It stops at the first word that is no command.
func expand(root *cobra.Command, args []string) (full []string, at *cobra.Command, err error) {
	full = append(full, args...)
	begin, end := 0, len(full)
	if end > 0 && (full[0] == cobra.ShellCompRequestCmd || full[0] == cobra.ShellCompNoDescRequestCmd) {
		begin, end = 1, end-1 // what is being completed stays as it is
	}
	at = root
	for i := begin; i < end; i++ {
		word := full[i]
		switch {
		case word == "--" || !at.HasSubCommands():
			return full, at, nil
		case strings.HasPrefix(word, "-"):
			if takesValue(at, word) {
				i++
			}
			continue
		}
		next, err := subcommand(at, word)
		if err != nil {
			return full, at, err
		}
		full[i], at = next.Name(), next
	}
	return full, at, nil
}

func subcommand(at *cobra.Command, word string) (*cobra.Command, error) {
	var found []*cobra.Command
	var names []string
	for _, c := range at.Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return c, nil
		}
		if strings.HasPrefix(c.Name(), word) && !c.Hidden && word != "" {
			found, names = append(found, c), append(names, c.Name())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, unknownCommand(at, word)
	}
	return nil, usagef("%s: which one: %s", word, strings.Join(names, ", "))
}

func unknownCommand(at *cobra.Command, word string) error {
	at.SuggestionsMinimumDistance = 2
	if near := at.SuggestionsFor(word); len(near) > 0 {
		return usagef("%s: no such command: did you mean %s?", word, strings.Join(near, " or "))
	}
	return usagef("%s: no such command", word)
}

// takesValue reports whether the word after a flag is its value.
func takesValue(at *cobra.Command, word string) bool {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") || name == "" {
		return false
	}
	at.InheritedFlags() // merges the parents' flags
	var f *pflag.Flag
	if strings.HasPrefix(word, "--") {
		f = at.Flags().Lookup(name)
	} else if len(name) == 1 {
		f = at.Flags().ShorthandLookup(name)
	}
	if f == nil {
		f = at.Root().PersistentFlags().Lookup(name)
	}
	if f == nil && len(name) == 1 {
		f = at.Root().PersistentFlags().ShorthandLookup(name)
	}
	return f != nil && f.NoOptDefVal == ""
}

// exactly and its like are cobra's, in our words.
func exactly(n int, what string) cobra.PositionalArgs {
	return between(n, n, what)
}

func between(low, high int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < low {
			return usagef("missing %s", what)
		}
		if len(args) > high {
			return usagef("%q is one argument too many", args[high])
		}
		return nil
	}
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }
