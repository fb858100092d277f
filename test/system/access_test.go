package system

import (
	"os"
	"strings"
	"testing"
)

// as runs a command of the program as a user without rights.
func (d *daemon) by(user []string, args ...string) result {
	argv := append(append(append([]string{}, user...), program, "--socket", d.path(".sock")), args...)
	return finish(d.command(argv...))
}

// The group of the socket may look, root may change, others are told what to do.
func TestSocketRights(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig(""))
	d.flags = []string{"--group", "users"}
	d.start()
	info, err := os.Stat(d.path(".sock"))
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("the socket: %v, %v", info.Mode(), err)
	}
	member, stranger := nobody("users"), nobody()
	for _, what := range [][]string{
		{"show", "nhrp"}, {"show", "peers"}, {"show", "shortcuts"}, {"show", "routes"}, {"show", "interfaces"}, {"show", "timers"},
		{"show", "counters"}, {"show", "config"}, {"show", "nhrp", "-o", "json"},
	} {
		if r := d.by(member, what...); r.code != 0 || r.out == "" && what[1] != "shortcuts" && what[1] != "peers" {
			t.Errorf("%v by a member of the group: %v", what, r)
		}
	}
	if r := d.by(member, "show", "config"); strings.Contains(r.out, "secret") {
		t.Errorf("the password is shown: %s", r.out)
	}
	const forbidden = "only root or the daemon's own user may change things: try it with sudo\n"
	for _, what := range [][]string{{"clear", "nhrp"}, {"reload"}, {"debug", "10.0.0.1"}} {
		w.says(d.by(member, what...), result{1, "", strings.Replace(strings.Join(what[:1], " ")+": "+forbidden, "clear:", "clear nhrp:", 1)})
	}
	if strings.Contains(d.log(), "config.reloaded") || strings.Contains(d.log(), "api.changed") {
		t.Error("a member of the group changed something")
	}
	want := "cannot reach the daemon at " + d.path(".sock") + ": permission denied: "
	for _, what := range [][]string{{"show", "nhrp"}, {"why", "10.9.0.1"}, {"reload"}, {"monitor"}} {
		if r := d.by(stranger, what...); r.code != 5 || r.out != "" || !strings.Contains(r.err, want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v by a stranger: %v, want %q", what, r, want)
		}
	}
}

// Each exit code, by a real command on a real daemon.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	s := w.host("spoke")
	d := s.daemon(spokeConfig(s, "")).start() // there is no hub
	codes := []struct {
		code int
		args string
		err  string
	}{
		{0, "show interfaces", ""},
		{0, "check", "warning: "},
		{0, "doctor --socket /nowhere", ""},
		{1, "run", "already running"},
		{2, "show nonsense", "no such command"},
		{3, "why 10.9.0.1", ""},
		{4, "why 10.77.0.1", "not found"},
		{4, "show nhrp 10.77.0.1", "nothing matches"},
		{4, "clear nhrp 10.77.0.1", "nothing matches"},
		{5, "show nhrp --socket /nowhere", "cannot reach the daemon at /nowhere"},
		{6, "check -c /nowhere", "/nowhere"},
	}
	for _, tt := range codes {
		r := d.cli(strings.Fields(tt.args)...)
		if tt.args[0] == 'd' && r.code == 3 && strings.Contains(r.out, "fail") {
			continue // the underlay of this machine may well be unfit for something
		}
		if r.code != tt.code || !strings.Contains(r.err, tt.err) {
			t.Errorf("%s: want exit %d and %q\n%v", tt.args, tt.code, tt.err, r)
		}
	}
}
