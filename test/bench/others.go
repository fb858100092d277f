package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nebulaVersion is the latest that this Go builds: v1.12.0 wants Go 1.27.
const nebulaVersion = "v1.11.0"

// findNebula builds nebula and its tool for certificates into the user's cache, once.
func findNebula() (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "spokeway-bench", "nebula-"+nebulaVersion)
	for _, program := range []string{"nebula", "nebula-cert"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
			continue
		}
		c := exec.Command("go", "install", "github.com/slackhq/nebula/cmd/"+program+"@"+nebulaVersion)
		c.Dir, c.Env = os.TempDir(), append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("nebula %s cannot be built, so it is not compared: %s", nebulaVersion, bytes.TrimSpace(out))
		}
	}
	return dir, nil
}

// nebulaConfig is a host of nebula that knows where the other is. Buffers and batches are those of its example.
const nebulaConfig = `pki: {ca: %[1]s/ca.crt, cert: %[1]s/%[2]s.crt, key: %[1]s/%[2]s.key}
static_host_map: {%[3]s: ["%[4]s:4242"]}
lighthouse: {am_lighthouse: false}
listen: {host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 10485760, write_buffer: 10485760}
cipher: aes
tun: {dev: neb0, mtu: %[5]d}
firewall: {outbound: [{port: any, proto: any, host: any}], inbound: [{port: any, proto: any, host: any}]}
logging: {level: warning}
`

func nebulaSystem(l *lab, o options, rep *report) (*system, error) {
	if !o.wants(nameNebula) {
		return nil, nil
	}
	dir, err := findNebula()
	if err != nil {
		rep.note("%v", err)
		return nil, nil
	}
	rep.note("nebula %s, AES-256-GCM", nebulaVersion)
	if err := l.pair("nb"); err != nil {
		return nil, err
	}
	tool, keys := filepath.Join(dir, "nebula-cert"), filepath.Join(l.dir, "nebula")
	if err := os.Mkdir(keys, 0o700); err != nil {
		return nil, err
	}
	if err := l.command(tool, "ca", "-name", "bench", "-out-crt", keys+"/ca.crt", "-out-key", keys+"/ca.key"); err != nil {
		return nil, err
	}
	s := &system{name: nameNebula, flow: l.flow("nb", "10.100.0.1", "10.100.0.2")}
	for i, end := range []string{"a", "b"} {
		own, other := i+1, 2-i
		err := l.command(tool, "sign", "-ca-crt", keys+"/ca.crt", "-ca-key", keys+"/ca.key", "-name", end,
			"-networks", fmt.Sprintf("10.100.0.%d/24", own), "-out-crt", keys+"/"+end+".crt", "-out-key", keys+"/"+end+".key")
		if err != nil {
			return nil, err
		}
		config := fmt.Sprintf(nebulaConfig, keys, end, fmt.Sprintf("10.100.0.%d", other), fmt.Sprintf("10.9.0.%d", other), innerMTU)
		file := filepath.Join(keys, end+".yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		p, err := l.start("nb-"+end, nil, filepath.Join(dir, "nebula"), "-config", file)
		if err != nil {
			return nil, err
		}
		s.daemons = append(s.daemons, p)
	}
	return s, s.answers()
}

// answers waits until the far end of the flow answers.
func (s *system) answers() error {
	err := s.flow.lab.until(s.name+" carries a ping", 15*time.Second, func() bool {
		_, err := s.flow.lab.output(s.flow.from, "ping", "-c1", "-W1", "-I", s.flow.source, s.flow.target)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, s.daemons[0].tail())
	}
	return nil
}

// charon is strongSwan's IKE daemon, in the Debian tree that the tests with real peers use.
type charon struct{ root, version string }

// peersTree is the tree with FRR, BIRD and strongSwan that test/peers/install makes.
func peersTree() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	for _, dir := range []string{"spokeway-peers/trixie", "dmvpn-lab/trixie"} {
		root := filepath.Join(cache, dir)
		if _, err := os.Stat(filepath.Join(root, ".lab")); err == nil {
			return root, nil
		}
	}
	return "", errors.New("there are no FRR, BIRD and strongSwan here, so they are not compared: run test/peers/install")
}

func findCharon() (*charon, error) {
	root, err := peersTree()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("chroot", root, "/usr/lib/ipsec/charon", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("strongSwan does not run here, so it is not compared: %w", err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return &charon{root, strings.TrimPrefix(strings.TrimSpace(first), "Linux ")}, nil
}

// charonSettings: ESP by the process itself through a TUN device, also with the peer's own address (its manual says that
// the mark is needed then, for IKE not to take that way), no log, and no defence against a load from few.
const charonSettings = `charon {
  load_modular = no
  load = openssl curve25519 random nonce x509 pubkey pem pkcs1 pkcs8 revocation constraints hmac kdf kernel-libipsec kernel-netlink socket-default vici
  plugins {
    kernel-libipsec { allow_peer_ts = yes
    }
    kernel-netlink { fwmark = !0x42
    }
    socket-default { fwmark = 0x42
    }
  }
  cookie_threshold = 0
  block_threshold = 0
  ikesa_table_size = 4096
  ikesa_table_segments = 16
  syslog { daemon { default = -1
    } auth { default = -1
    } }
  filelog { bench { path = /lab/charon.log
      default = 0
      flush_line = yes
    } }
}
swanctl { load = openssl random pem pkcs1 pkcs8 x509
}
`

// charonEnter becomes charon on a writable layer of its own over the tree. All of it is gone with the process.
const charonEnter = `set -e
mount -t tmpfs bench "$1/mnt"
mkdir "$1/mnt/upper" "$1/mnt/work" "$1/mnt/root"
mount -t overlay bench "$1/mnt/root" -o "lowerdir=$2,upperdir=$1/mnt/upper,workdir=$1/mnt/work"
root=$1/mnt/root
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs bench "$root/run"
mkdir -p "$root/lab"
mount --bind "$1" "$root/lab"
cp "$1/strongswan.conf" "$root/etc/strongswan.conf"
cp -r "$1/swanctl/." "$root/etc/swanctl/"
exec chroot "$root" /usr/lib/ipsec/charon`

// charonOptions is what a charon is started with.
type charonOptions struct {
	swanctl string            // swanctl.conf
	files   map[string]string // beside it: certificates and keys
	cpu     string            // taskset's list; "" leaves the choice to the kernel
}

// start runs charon in a namespace, until it has loaded its configuration.
func (c *charon) start(l *lab, space string, o charonOptions) (*process, error) {
	dir := filepath.Join(l.dir, space+"-charon")
	files := map[string]string{"strongswan.conf": charonSettings, "swanctl/swanctl.conf": o.swanctl}
	for name, text := range o.files {
		files["swanctl/"+name] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "mnt"), 0o755); err != nil {
		return nil, err
	}
	argv := []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", charonEnter, "sh", dir, c.root}
	if o.cpu != "" {
		argv = append([]string{"taskset", "-c", o.cpu}, argv...)
	}
	p, err := l.start(space, nil, argv...)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = l.until("charon has its configuration", 20*time.Second, func() bool {
		out, err = p.inside("swanctl", "--load-all")
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s", err, p.tail(), out)
	}
	return p, nil
}

// inside runs a program where the process is: in its namespaces, and with its root.
func (p *process) inside(argv ...string) ([]byte, error) {
	enter := []string{"--target", fmt.Sprint(p.pid()), "--mount", "--net", "--root", "--wd"}
	return exec.Command("nsenter", append(enter, argv...)...).CombinedOutput()
}

// runBIRD is the script of a [lab.tree] that becomes BIRD.
const runBIRD = `exec /usr/sbin/bird -f -c /lab/bird.conf -s /run/bird.ctl`

// birdcl asks a BIRD.
func (p *process) birdcl(words ...string) ([]byte, error) {
	return p.inside(append([]string{"/usr/sbin/birdcl", "-s", "/run/bird.ctl"}, words...)...)
}

// birdc tells a BIRD to do something.
func (p *process) birdc(words ...string) error {
	if out, err := p.birdcl(words...); err != nil {
		return fmt.Errorf("birdcl %v: %s: %w", words, bytes.TrimSpace(out), err)
	}
	return nil
}

// libipsecConfig is one end of a tunnel between two hosts.
const libipsecConfig = `connections {
  bench {
    version = 2
    proposals = aes256gcm16-prfsha384-x25519
    local_addrs = 10.9.0.%[1]d
    remote_addrs = 10.9.0.%[2]d
    local { auth = psk
    }
    remote { auth = psk
    }
    children { bench { mode = tunnel
        start_action = trap
        esp_proposals = aes256gcm16
        local_ts = 10.100.0.%[1]d/32
        remote_ts = 10.100.0.%[2]d/32
      } }
  }
}
secrets { ike-any { secret = "no secret at all"
  } }
`

func libipsecSystem(l *lab, o options, rep *report) (*system, error) {
	if !o.wants(nameLibipsec) {
		return nil, nil
	}
	c, err := findCharon()
	if err != nil {
		rep.note("%v", err)
		return nil, nil
	}
	rep.note("%s, kernel-libipsec, AES-256-GCM of OpenSSL, ESP in UDP; its manual advises it for hosts whose kernel has no ESP, not for gateways", c.version)
	if err := l.pair("ss"); err != nil {
		return nil, err
	}
	s := &system{name: nameLibipsec, flow: l.flow("ss", "10.100.0.1", "10.100.0.2")}
	for i, end := range []string{"a", "b"} {
		if err := l.build(fmt.Sprintf("ss-%s: addr add 10.100.0.%d/32 dev lo", end, i+1)); err != nil {
			return nil, err
		}
		p, err := c.start(l, "ss-"+end, charonOptions{swanctl: fmt.Sprintf(libipsecConfig, i+1, 2-i)})
		if err != nil {
			return nil, err
		}
		s.daemons = append(s.daemons, p)
	}
	if out, err := s.daemons[0].inside("swanctl", "--initiate", "--child", "bench", "--timeout", "10"); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", nameLibipsec, err, out)
	}
	return s, s.answers()
}
