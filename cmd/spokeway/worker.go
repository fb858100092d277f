package main

import (
	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/bfdio"
)

// The words with which the daemon executes this program again.
const (
	workerWord = "bfd-worker"
	keepWord   = "keep"
	serveWord  = "serve"
)

// worker is the command of the process that runs BFD.
func worker() []string { return bfdio.OwnCommand(workerWord, keepWord) }

func (a *app) workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    workerWord + " keep|serve",
		Short:  "run BFD for the daemon, which starts this itself",
		Hidden: true,
		Args:   exactly(1, "what: keep or serve"),
		RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case keepWord:
				return bfdio.Keep(bfdio.OwnCommand(workerWord, serveWord))
			case serveWord:
				return bfdio.Serve()
			}
			return usagef("%s: want keep or serve", args[0])
		},
	}
}
