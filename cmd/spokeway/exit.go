package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/query"
)

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
	exitDegraded    // it was told, and what it told is not well
	exitNotFound    // what was asked for does not exist
	exitUnreachable // no daemon answers
	exitCheck       // the configuration has errors
)

// exitCodes is the list for the reference.
var exitCodes = [...]string{
	exitOK:          "ok",
	exitFailed:      "failed",
	exitUsage:       "usage: no such command, flag or argument",
	exitDegraded:    "degraded: the answer is complete, and what it tells of is not well",
	exitNotFound:    "not found: no such peer, row or lab",
	exitUnreachable: "the daemon cannot be reached",
	exitCheck:       "the configuration has errors; nothing of it was applied",
}

// exitError ends the program with a code. Without an error the output has said it all.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return exitCodes[e.code]
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var exit *exitError
	var unknown *query.UnknownError
	var unreachable *api.UnreachableError
	var bad conf.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &unknown):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &bad), errors.Is(err, query.ErrConfig):
		return exitCheck
	case errors.Is(err, query.ErrNotFound):
		return exitNotFound
	}
	return exitFailed
}

// report writes an error for people: what was being done, then what is wrong. Errors of a configuration stand
// alone, a line each, as editors like them.
func report(w io.Writer, cmd *cobra.Command, err error) {
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return
	}
	var bad conf.Errors
	if errors.As(err, &bad) {
		fmt.Fprintln(w, bad)
		return
	}
	text := err.Error()
	doing := strings.TrimPrefix(cmd.CommandPath(), "spokeway ")
	if verb, _, _ := strings.Cut(doing, " "); cmd.HasParent() && !strings.HasPrefix(text, verb+" ") {
		text = doing + ": " + text
	}
	fmt.Fprintln(w, text)
	if exitCode(err) == exitUsage {
		fmt.Fprintf(w, "see `%s --help`\n", cmd.CommandPath())
	}
}
