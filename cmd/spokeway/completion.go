package main

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "print a completion script for bash, zsh or fish",
		Long:      "Print a completion script.\n\n  bash: source <(spokeway completion bash)\n  zsh:  source <(spokeway completion zsh)\n  fish: spokeway completion fish | source",
		Args:      exactly(1, "SHELL: bash, zsh or fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return usagef("%s: want bash, zsh or fish", args[0])
		},
	}
}
