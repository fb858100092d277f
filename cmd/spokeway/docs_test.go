package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/spokeway/spokeway/internal/conf"
)

func TestGeneratedFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer, *cobra.Command) error{
		"../../docs/commands.md":     func(b *bytes.Buffer, c *cobra.Command) error { return reference(b, c) },
		"../../packaging/spokeway.1": func(b *bytes.Buffer, c *cobra.Command) error { return manual(b, c) },
	}
	for path, generate := range files {
		var b bytes.Buffer
		if err := generate(&b, newApp(&b, &b).root()); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s is behind the program: go test ./cmd/spokeway -update writes it anew", filepath.Base(path))
		}
	}
}

func TestManPageIsCleanRoff(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("needs groff, to lint the man page: apt install groff")
	}
	out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", "../../packaging/spokeway.1").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every command and flag that people type has its one line of help, lower case and without a full stop.
func TestHelpIsWritten(t *testing.T) {
	root := newApp(os.Stdout, os.Stderr).root()
	for _, c := range visible(root) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.ToLower(c.Short[:1]) != c.Short[:1] {
			t.Errorf("%s: help %q", c.CommandPath(), c.Short)
		}
	}
}

func TestExpand(t *testing.T) {
	tests := []struct{ args, want string }{
		{"sh nh", "show nh"}, {"sho nhrp", "show nhrp"}, {"ver", "version"}, {"mon", "monitor"},
		{"la ru f.yaml", "lab run f.yaml"}, {"lab d", "lab down"}, {"si g --seed 4", "sim generate --seed 4"},
		{"-o json sh nh", "-o json show nh"}, {"--output json sh", "--output json show"}, {"-ojson sh", "-ojson show"},
		{"--output=json sh", "--output=json show"}, {"-c r sh", "-c r show"}, {"lab ex n1 -- sh", "lab exec n1 -- sh"},
		{"__complete sh n", "__complete show n"}, {"__complete s", "__complete s"},
		{"relo", "reload"}, {"wh sh", "why sh"}, {"", ""},
	}
	for _, tt := range tests {
		root := newApp(os.Stdout, os.Stderr).root()
		got, _, err := expand(root, strings.Fields(tt.args))
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.args, got, err, tt.want)
		}
	}
}

func TestCompletionScriptsLoad(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := run(t, "completion", shell)
		if script.code != exitOK || !strings.Contains(script.out, "__complete") {
			t.Errorf("%s: exit %d, %d bytes", shell, script.code, len(script.out))
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("no %s here to try its script", shell)
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = strings.NewReader(script.out)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	socket := serveSpoke(t, quietLog())
	tests := []struct {
		words []string
		want  []string
	}{
		{[]string{"re"}, []string{"reload", "restart"}},
		{[]string{"sh", "n"}, []string{"nhrp"}},
		{[]string{"show", "ip", "nhrp", "s"}, []string{"shortcut"}},
		{[]string{"clear", ""}, []string{"counters", "guards", "ike", "nhrp", "ospf", "shortcuts"}},
		{[]string{"why", "10.100.100.1"}, []string{"10.100.100.1", "10.100.100.11", "10.100.100.13"}},
		{[]string{"capture", "a"}, []string{"all"}},
		{[]string{"capture", "10.100.100.13"}, []string{"10.100.100.13"}},
		{[]string{"-o", ""}, []string{"json", "table", "wide"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
	}
	for _, tt := range tests {
		r := runAs(t, []string{"SPOKEWAY_SOCKET=" + socket}, append([]string{"__complete"}, tt.words...)...)
		var got []string
		for line := range strings.Lines(r.out) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
				got = append(got, word)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.words, got, tt.want)
		}
	}
}

// unit reads the settings of the systemd unit.
func unit(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../packaging/spokeway.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	return settings
}

func TestUnitFitsTheProgram(t *testing.T) {
	u := unit(t)
	for _, key := range []string{"ExecStart", "ExecReload"} {
		words := strings.Fields(u[key])
		if len(words) < 2 || words[0] != "/usr/bin/spokeway" {
			t.Fatalf("%s=%s", key, u[key])
		}
		root := newApp(os.Stdout, os.Stderr).root()
		c, rest, err := root.Find(words[1:])
		if err != nil || c == root || len(rest) > 0 {
			t.Errorf("%s=%s: no such command", key, u[key])
		}
	}
	if dir := "/run/" + u["RuntimeDirectory"]; filepath.Dir(conf.DefaultSocket) != dir {
		t.Errorf("the socket is in %s, the unit makes %s", filepath.Dir(conf.DefaultSocket), dir)
	}
	if dir := "/var/lib/" + u["StateDirectory"]; conf.DefaultState != dir {
		t.Errorf("state is kept in %s, the unit makes %s", conf.DefaultState, dir)
	}
	if u["ProtectKernelTunables"] == "yes" {
		t.Error("ProtectKernelTunables=yes makes the sysctls of forwarding and tunnels read-only")
	}
}

func TestUnitIsValid(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze, to verify the unit: apt install systemd")
	}
	text, err := os.ReadFile("../../packaging/spokeway.service")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("/usr/bin/spokeway"), []byte("/bin/sh"))
	text = bytes.ReplaceAll(text, []byte("Documentation="), []byte("#"))
	path := filepath.Join(t.TempDir(), "spokeway.service")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
