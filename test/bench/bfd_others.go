package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const peersFolder = "test/peers"

// havePeers tells whether FRR and BIRD are there to be compared with.
func havePeers() error {
	if exec.Command("bash", "-c", `. ./test/peers/lib; [[ -e $LAB_ROOT/.lab ]]`).Run() != nil {
		return errors.New("there is no FRR and no BIRD here, so nothing is compared with them: run test/peers/install")
	}
	return nil
}

// peerEnd is an FRR or a BIRD of test/peers, in a container of its own.
type peerEnd struct {
	l       *lab
	name    string
	program string
	count   func(*peerEnd) (up, falls int, err error)
}

// start writes the configuration of an end and starts it. Its daemons may open as many files as they have sessions.
func (e *peerEnd) start(c bfdLoad, end int, file, config string) error {
	folder := filepath.Join(e.l.dir, "config", e.name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	files := map[string]string{"setup": "ulimit -n 20000\nip -batch addresses\n", "addresses": bfdAddresses(c, end, "eth0"), file: config}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(e.l.ctx, peersFolder+"/peer", e.name, "--kernel", "host", "--netns", e.l.prefix+"lan", "--nic", e.name+"@br0", "--config", folder)
	cmd.Env = append(os.Environ(), "LAB_RUN="+e.l.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		all := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("start %s: %w: %s", e.program, err, strings.TrimPrefix(all[len(all)-1], "peer: "))
	}
	return e.l.until(e.program+" runs", 10*time.Second, func() bool { return len(e.pids()) > 0 })
}

// run runs a command on the end.
func (e *peerEnd) run(argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(e.l.ctx, peersFolder+"/peer-exec", append([]string{e.name}, argv...)...)
	cmd.Env = append(os.Environ(), "LAB_RUN="+e.l.dir)
	return cmd.Output()
}

func (e *peerEnd) up() (int, error) {
	n, _, err := e.count(e)
	return n, err
}

func (e *peerEnd) falls() (int, error) {
	_, n, err := e.count(e)
	return n, err
}

func (e *peerEnd) pids() []int {
	b, err := os.ReadFile(filepath.Join(e.l.dir, e.name, "pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid == 0 {
		return nil
	}
	return processesIn(pid, e.program)
}

func (e *peerEnd) stop() {
	cmd := exec.Command(peersFolder+"/peer-stop", e.name)
	cmd.Env = append(os.Environ(), "LAB_RUN="+e.l.dir)
	_ = cmd.Run()
}

// frrBFD makes an end of FRR's bfdd.
func frrBFD(l *lab, c bfdLoad, end int) (bfdEnd, error) {
	var s strings.Builder
	s.WriteString("bfd\n")
	for k := range c.sessions {
		fmt.Fprintf(&s, " peer %s local-address %s interface eth0\n  transmit-interval %d\n  receive-interval %[3]d\n", bfdAddress(1-end, k), bfdAddress(end, k), c.interval.Milliseconds())
	}
	s.WriteString("exit\n")
	e := &peerEnd{l: l, name: fmt.Sprint("f", end), program: "bfdd", count: frrCount}
	return e, e.start(c, end, "frr.conf", s.String())
}

func frrCount(e *peerEnd) (up, falls int, err error) {
	var peers []struct{ Status string }
	var counters []struct {
		Down int `json:"session-down"`
	}
	for command, into := range map[string]any{"show bfd peers json": &peers, "show bfd peers counters json": &counters} {
		out, err := e.run("vtysh", "-c", command)
		if err == nil {
			err = json.Unmarshal(out, into)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", command, err)
		}
	}
	for _, p := range peers {
		if p.Status == "up" {
			up++
		}
	}
	for _, c := range counters {
		falls += c.Down
	}
	return up, falls, nil
}

// birdBFD makes an end of BIRD, which tells of failures in its log alone.
func birdBFD(l *lab, c bfdLoad, end int) (bfdEnd, error) {
	var s strings.Builder
	fmt.Fprintf(&s, "log \"/lab/log/bird.log\" all;\nrouter id 10.0.0.%d;\nprotocol device {}\nprotocol bfd {\n debug { events };\n interface \"eth0\" { interval %d ms; multiplier 3; };\n", end+1, c.interval.Milliseconds())
	for k := range c.sessions {
		fmt.Fprintf(&s, " neighbor %s dev \"eth0\" local %s;\n", bfdAddress(1-end, k), bfdAddress(end, k))
	}
	s.WriteString("}\n")
	e := &peerEnd{l: l, name: fmt.Sprint("b", end), program: "bird", count: birdCount}
	return e, e.start(c, end, "bird.conf", s.String())
}

func birdCount(e *peerEnd) (up, falls int, err error) {
	out, err := e.run("birdc", "show", "bfd", "sessions")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "Up" {
			up++
		}
	}
	log, err := os.ReadFile(filepath.Join(e.l.dir, e.name, "log", "bird.log"))
	return up, strings.Count(string(log), "from Up to Down"), err
}
