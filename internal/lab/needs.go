package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// needs says what the host lacks for a scenario, and how to get it.
func needs(f *scenario.File, opts Options) error {
	if err := capable(); err != nil {
		return err
	}
	var missing []error
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, errors.New("/dev/net/tun is missing: load it with `modprobe tun`; in a container, pass the device in"))
	}
	for _, n := range f.Nodes {
		if n.Kind == scenario.NAT {
			missing = append(missing, tool("nft", "for node "+n.Name, "nftables"))
			break
		}
	}
	if f.Measures() {
		missing = append(missing, tool("iperf3", "for its iperf3 steps", "iperf3"))
	}
	if opts.Binary != "" {
		if _, err := exec.LookPath(opts.Binary); err != nil {
			missing = append(missing, fmt.Errorf("the spokeway to run: %w", err))
		}
	}
	return errors.Join(missing...)
}

func tool(name, purpose, pkg string) error {
	if _, err := exec.LookPath(name); err == nil {
		return nil
	}
	return fmt.Errorf("%s is missing, %s: install the package %s (`apt install %s`, `dnf install %s`)", name, purpose, pkg, pkg, pkg)
}

// capable reports whether this process may make namespaces and devices.
func capable() error {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	for _, c := range []struct {
		bit  uint
		name string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_NET_RAW, "CAP_NET_RAW"}} {
		if data[0].Effective&(1<<c.bit) == 0 {
			return fmt.Errorf("a lab makes network namespaces and needs %s: run it as root, with sudo say; `spokeway sim run` needs no root", c.name)
		}
	}
	return nil
}
