package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/query"
)

// version is set by the linker: -X main.version=1.2.3.
var version string

type versionRow struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print what this binary is",
		Args:  exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if a.json() {
				return query.JSON(a.out, []versionRow{v})
			}
			a.printf("spokeway %s", v.Version)
			if v.Commit != "" {
				a.printf(" (%s)", v.Commit)
			}
			a.printf(", %s, %s/%s\n", v.Go, v.OS, v.Arch)
			return nil
		},
	}
}

// thisVersion is what the linker was told, else what Go recorded of the build.
func thisVersion() versionRow {
	v := versionRow{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "development"
	}
	if ok {
		v.Commit = commit(info.Settings)
	}
	return v
}

func commit(settings []debug.BuildSetting) string {
	values := map[string]string{}
	for _, s := range settings {
		values[s.Key] = s.Value
	}
	c := values["vcs.revision"]
	c = c[:min(len(c), 12)]
	if c != "" && values["vcs.modified"] == "true" {
		c += ", modified"
	}
	return c
}
