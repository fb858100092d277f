package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/lab"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/scenario"
)

func (a *app) labCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "lab",
		Short: "play a topology as real processes in network namespaces; needs root",
	}, a.labRunCommand(), a.labUpCommand(), a.labDownCommand(), a.labExecCommand(), a.labListCommand(), labForwarderCommand())
}

// variantFlag chooses among the variants of a lab file.
func variantFlag(c *cobra.Command) *string {
	return c.Flags().String("variant", "", "tell the file in this `VARIANT` (default: its first)")
}

// labFlags are the flags of the commands that bring a lab up.
func labFlags(c *cobra.Command) *lab.Options {
	var opts lab.Options
	c.Flags().StringVar(&opts.Binary, "binary", "", "run the routers from this `FILE` (default: this program)")
	c.Flags().StringVar(&opts.LogDir, "log-dir", "", "keep the routers' logs in this `FOLDER`")
	c.Flags().BoolVar(&opts.NoNetem, "no-netem", false, "impair links by the lab's own forwarder even where the kernel has netem")
	return &opts
}

func (a *app) labRunCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "bring a lab up, play its steps, print what passed, and leave nothing behind",
		Long: "Bring a lab up, play its steps and take it down however it ends. The story is told while it happens, a table of\n" +
			"the steps follows; the exit code is 1 when one failed. `spokeway sim run FILE` plays the same file without root.",
		Args: exactly(1, "FILE"),
	}
	opts, variant := labFlags(c), variantFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := loadScenario(args[0], *variant)
		if err != nil {
			return err
		}
		return a.outcome(lab.Run(c.Context(), f, *opts, a.progress()))
	}
	return c
}

// loadScenario reads a lab file; what is wrong in it is of the same weight as in a configuration.
func loadScenario(path, variant string) (*scenario.File, error) {
	f, err := scenario.LoadVariant(path, variant)
	if err != nil {
		return nil, &exitError{exitCheck, err}
	}
	return f, nil
}

// progress tells the story of a scenario as it happens; with -o json nobody wants it.
func (a *app) progress() func(scenario.Result) {
	if a.json() {
		return nil
	}
	return scenario.Progress(a.out)
}

// outcome prints the results of a scenario.
func (a *app) outcome(sum scenario.Summary) error {
	var err error
	if a.json() {
		err = query.JSON(a.out, []scenario.Summary{sum})
	} else {
		a.printf("\n")
		err = sum.Table(a.out)
	}
	if err == nil && !sum.OK() {
		return &exitError{code: exitFailed}
	}
	return err
}

// labRow is one row of `lab list`.
type labRow struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	Owner int       `json:"owner"` // process that plays it; 0: it stays up
	Nodes []string  `json:"nodes"`
	File  string    `json:"file"`
}

func rowOf(i lab.Info) labRow {
	return labRow{i.ID, i.Name, i.Started, i.Owner, slices.Sorted(maps.Keys(i.Nodes)), i.File}
}

func (a *app) labUpCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "up FILE",
		Short: "bring a lab up to play with; no step is played",
		Args:  exactly(1, "FILE"),
	}
	opts, variant := labFlags(c), variantFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := loadScenario(args[0], *variant)
		if err != nil {
			return err
		}
		info, err := lab.Up(c.Context(), f, *opts)
		if err != nil {
			return err
		}
		if a.json() {
			return query.JSON(a.out, []labRow{rowOf(info)})
		}
		row := rowOf(info)
		a.printf("lab %s is up: %s\n", info.ID, strings.Join(row.Nodes, ", "))
		a.printf("look around with `spokeway lab exec --lab %s %s -- spokeway show peers`\n", info.ID, firstRouter(f))
		a.printf("remove it with `spokeway lab down %s`\n", info.ID)
		return nil
	}
	return c
}

// firstRouter is a node worth looking at.
func firstRouter(f *scenario.File) string {
	for _, n := range f.Nodes {
		if n.Kind == scenario.Router {
			return n.Name
		}
	}
	return "NODE"
}

func (a *app) labDownCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "down [LAB]",
		Short:             "remove a lab; its id may be left out when there is one only",
		Args:              between(0, 1, ""),
		ValidArgsFunction: completeLabs,
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := labID(strings.Join(args, ""))
			if err != nil {
				return err
			}
			if err := lab.Down(id); err != nil {
				return err
			}
			if a.json() {
				return query.JSON(a.out, []struct {
					Removed string `json:"removed"`
				}{{id}})
			}
			a.printf("lab %s is removed\n", id)
			return nil
		},
	}
}

func (a *app) labExecCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "exec NODE [--] COMMAND [ARGUMENT...]",
		Short: "run a command on a node of a lab; spokeway there asks that node's router",
		Args:  between(2, 1<<10, "NODE and COMMAND"),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labID(id)
			if err != nil {
				return err
			}
			return labExec(lab, args[0], args[1:])
		},
	}
	c.Flags().StringVar(&id, "lab", "", "the `LAB`, when there are several")
	c.Flags().SetInterspersed(false) // flags of the command are its own
	c.RegisterFlagCompletionFunc("lab", completeLabs)
	return c
}

// labExec runs a command and ends as it ended.
func labExec(id, node string, argv []string) error {
	if argv[0] == "--" && len(argv) > 1 { // pflag keeps one that follows the first argument
		argv = argv[1:]
	}
	if self, err := os.Executable(); err == nil && argv[0] == "spokeway" {
		argv = append([]string{self}, argv[1:]...)
	}
	err := lab.Exec(id, node, argv)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Exited() {
		return &exitError{code: ended.ExitCode()}
	}
	return err
}

func (a *app) labListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the labs that are up",
		Args:  exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			all, err := lab.List()
			rows := make([]labRow, len(all))
			for i, info := range all {
				rows[i] = rowOf(info)
			}
			return cmp.Or(a.print(rows), err)
		},
	}
}

// labForwarderCommand is the process behind links that the kernel cannot impair. The lab starts it.
func labForwarderCommand() *cobra.Command {
	return &cobra.Command{
		Use: "forwarder", Hidden: true, Args: exactly(0, ""),
		Short: "forward frames for a lab",
		RunE:  func(*cobra.Command, []string) error { return lab.Forward(os.Stdin) },
	}
}

// labID is the lab that is meant: the one given, else the only one.
func labID(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	all, err := lab.List()
	switch {
	case len(all) == 1:
		return all[0].ID, nil
	case len(all) > 1:
		var ids []string
		for _, i := range all {
			ids = append(ids, i.ID+" ("+i.Name+")")
		}
		return "", usagef("which lab: %s", strings.Join(ids, ", "))
	case err != nil:
		return "", err
	}
	return "", fmt.Errorf("no lab is up, `spokeway lab up FILE` makes one: %w", query.ErrNotFound)
}

func completeLabs(*cobra.Command, []string, string) (ids []string, _ cobra.ShellCompDirective) {
	all, _ := lab.List()
	for _, i := range all {
		ids = append(ids, i.ID+"\t"+i.Name)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
