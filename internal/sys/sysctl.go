package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const sysctls = "/proc/sys/net"

// writeSysctl writes a setting unless it has the value already. A kernel without the setting has no need of it.
func writeSysctl(path, value string) error {
	if readSysctl(path) == value {
		return nil
	}
	err := os.WriteFile(filepath.Join(sysctls, path), []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readSysctl is the value of a setting; "" when there is none.
func readSysctl(path string) string {
	b, _ := os.ReadFile(filepath.Join(sysctls, path))
	return strings.TrimSpace(string(b))
}

// prepareTunnel makes the kernel treat a tunnel device as the multipoint link it is: it must not tell peers of a
// shorter way by ICMP, which is NHRP's to tell; packets may come by the hub that go out directly, and while routes are being
// learned, from where none leads yet: no check of the reverse path, or the loosest where the host has a strict one everywhere
// (RFC 3704 section 2.4; the kernel takes the greater of all and ours); and no link-local address shall appear by itself and be
// announced to nobody.
func prepareTunnel(name string, addrs []netip.Prefix, log logger) {
	set := func(path, value string) {
		if err := writeSysctl(path, value); err != nil {
			log.Warn("sys.sysctl", "interface", name, "doing", "set net/"+path+" to "+value, "cause", err)
		}
	}
	set("ipv4/conf/"+name+"/send_redirects", "0")
	filter := "0"
	if readSysctl("ipv4/conf/all/rp_filter") == "1" {
		filter = "2"
	}
	set("ipv4/conf/"+name+"/rp_filter", filter)
	set("ipv6/conf/"+name+"/addr_gen_mode", "1")
	set("ipv6/conf/"+name+"/accept_dad", "0")
	set("ipv6/conf/"+name+"/accept_ra", "0")
	if slices.ContainsFunc(addrs, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		set("ipv6/conf/"+name+"/disable_ipv6", "0")
	}
}

// EnableForwarding lets the host forward. With ipv6, interfaces that take router advertisements go on doing so:
// a forwarding host ignores them otherwise, and would lose its default route. ICMP redirects are a matter of each
// interface from then on: the setting of all would go for tunnels too, whatever theirs is.
func EnableForwarding(ipv6 bool) error {
	if err := forward("ipv4/ip_forward"); err != nil {
		return err
	}
	if err := writeSysctl("ipv4/conf/all/send_redirects", "0"); err != nil {
		return fmt.Errorf("switch off ICMP redirects: %w", err)
	}
	if !ipv6 || readSysctl("ipv6/conf/all/forwarding") == "1" {
		return nil
	}
	entries, _ := os.ReadDir(filepath.Join(sysctls, "ipv6/conf")) // none without IPv6
	for _, e := range entries {
		path := "ipv6/conf/" + e.Name() + "/accept_ra"
		if readSysctl(path) != "1" {
			continue
		}
		if err := writeSysctl(path, "2"); err != nil {
			return fmt.Errorf("keep router advertisements on %s: %w", e.Name(), err)
		}
	}
	return forward("ipv6/conf/all/forwarding")
}

func forward(path string) error {
	if err := writeSysctl(path, "1"); err != nil {
		name := "net." + strings.ReplaceAll(path, "/", ".")
		return fmt.Errorf("let the host forward packets: %w: set %s=1 yourself, or run with write access to /proc/sys", err, name)
	}
	return nil
}
