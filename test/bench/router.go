package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// node is a Spokeway process.
type node struct {
	*process
	lab    *lab
	space  string
	binary string
	socket string
}

// spokeway starts a router with the configuration.
func (l *lab) spokeway(o options, space, config string) (*node, error) {
	r := &node{lab: l, space: space, binary: o.spokeway, socket: filepath.Join(l.dir, space+".sock")}
	file := filepath.Join(l.dir, space+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var err error
	r.process, err = l.start(space, nil, o.spokeway, "run", "-c", file, "--socket", r.socket,
		"--state", filepath.Join(l.dir, space+"-state"), "--log-level", "warn")
	return r, err
}

// show is `spokeway show WHAT` as rows.
func (r *node) show(what string) ([]map[string]any, error) {
	out, err := exec.CommandContext(r.lab.ctx, r.binary, "show", what, "-o", "json", "--socket", r.socket).Output()
	if err != nil {
		return nil, fmt.Errorf("show %s in %s: %w", what, r.space, err)
	}
	var rows []map[string]any
	return rows, json.Unmarshal(out, &rows)
}

// count is how many rows have the value under the key.
func (r *node) count(what, key, value string) int {
	rows, _ := r.show(what)
	n := 0
	for _, row := range rows {
		if fmt.Sprint(row[key]) == value {
			n++
		}
	}
	return n
}

func (r *node) clear(what string) error {
	out, err := exec.CommandContext(r.lab.ctx, r.binary, "clear", what, "--socket", r.socket).CombinedOutput()
	if err != nil {
		return fmt.Errorf("clear %s in %s: %s", what, r.space, bytes.TrimSpace(out))
	}
	return nil
}

// registered waits until n spokes are up at the hub.
func (r *node) registered(n int) error {
	err := r.lab.until(fmt.Sprintf("%d spokes are registered", n), 20*time.Second, func() bool {
		return r.count("peers", "state", "up") >= n
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, r.tail())
	}
	return nil
}

// clockTick is USER_HZ, the unit of the times in /proc/PID/stat: 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is what the processes have used, as user and in the kernel.
func cpuTime(procs ...*process) (sum time.Duration) {
	for _, p := range procs {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		sum += cpuOf(string(b))
	}
	return sum
}

// cpuOf reads utime and stime, fields 14 and 15; the second, a name in parentheses, may hold anything.
func cpuOf(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick
}

// wireguard is wireguard-go and the version it was built from.
type wireguard struct{ binary, version string }

const wireguardModule = "golang.zx2c4.com/wireguard"

// findWireguard builds the latest wireguard-go into the user's cache, once.
func findWireguard() (*wireguard, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "spokeway-bench")
	w := &wireguard{binary: filepath.Join(dir, "wireguard")}
	if _, err := os.Stat(w.binary); err != nil {
		c := exec.Command("go", "install", wireguardModule+"@latest")
		c.Dir, c.Env = os.TempDir(), append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("wireguard-go cannot be built, so nothing is compared with it: go install %s@latest: %s",
				wireguardModule, bytes.TrimSpace(out))
		}
	}
	out, _ := exec.Command("go", "version", "-m", w.binary).Output()
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "mod" {
			w.version = f[2]
		}
	}
	return w, nil
}

// wgPeer is one side of a WireGuard link.
type wgPeer struct {
	private  *ecdh.PrivateKey
	endpoint string // "" when it is the one that is called
	allowed  []string
}

func newWGPeer(endpoint string, allowed ...string) (wgPeer, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	return wgPeer{key, endpoint, allowed}, err
}

// start runs wireguard-go with its control socket, whose folder is one for the whole host: so is the name.
func (w *wireguard) start(l *lab, space, device string, own wgPeer, peers ...wgPeer) (*process, error) {
	p, err := l.start(space, []string{"LOG_LEVEL=error"}, w.binary, "-f", device)
	if err != nil {
		return nil, err
	}
	socket := "/var/run/wireguard/" + device + ".sock"
	err = l.until("wireguard-go answers", 5*time.Second, func() bool { return configureWG(socket, own, peers) == nil })
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.tail())
	}
	return p, nil
}

func configureWG(socket string, own wgPeer, peers []wgPeer) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(c, "set=1\nprivate_key=%s\nlisten_port=51820\n", hex.EncodeToString(own.private.Bytes()))
	for _, p := range peers {
		fmt.Fprintf(c, "public_key=%s\n", hex.EncodeToString(p.private.PublicKey().Bytes()))
		if p.endpoint != "" {
			fmt.Fprintf(c, "endpoint=%s\n", p.endpoint)
		}
		for _, a := range p.allowed {
			fmt.Fprintf(c, "allowed_ip=%s\n", a)
		}
	}
	io.WriteString(c, "\n")
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), "errno=0\n") {
		return errors.New("wireguard-go refused its configuration")
	}
	return err
}
