package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/query"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "check a configuration; needs neither a daemon nor root",
		Long: "Check a configuration. Every error is told with its file, line and column, and the exit code is 6 when there is\n" +
			"one. Warnings are told and do not fail. It needs neither a daemon nor root and touches nothing.",
		Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error { return a.check() },
	}
}

// finding is one row of `check -o json`.
type finding struct {
	Severity   string `json:"severity"` // error warning
	File       string `json:"file"`
	Line       int    `json:"line"` // 0: the file as a whole
	Column     int    `json:"column"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

func (a *app) check() error {
	c, warnings, err := conf.Load(a.config)
	var bad conf.Errors
	if err != nil && !errors.As(err, &bad) {
		return &exitError{exitCheck, err}
	}
	if a.json() {
		return a.checkJSON(bad, warnings)
	}
	for _, w := range warnings {
		fmt.Fprintln(a.err, "warning: "+w.String())
	}
	if len(bad) > 0 {
		return bad
	}
	a.printf("%s: ok: %s\n", a.config, summary(c, len(warnings)))
	return nil
}

func (a *app) checkJSON(bad conf.Errors, warnings []conf.Warning) error {
	var rows []finding
	for _, e := range bad {
		rows = append(rows, finding{"error", e.File, e.Line, e.Column, e.Message, e.Suggestion})
	}
	for _, w := range warnings {
		rows = append(rows, finding{"warning", w.File, w.Line, w.Column, w.Message, ""})
	}
	if err := query.JSON(a.out, rows); err != nil {
		return err
	}
	if len(bad) > 0 {
		return &exitError{code: exitCheck}
	}
	return nil
}

func summary(c *conf.Config, warnings int) string {
	return fmt.Sprintf("%s, %s, %s", count(len(c.Tunnels), "tunnel"), count(len(c.Routes), "route"), count(warnings, "warning"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
