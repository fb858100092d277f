package system

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// program is the spokeway under test: the one that the variable SPOKEWAY names, else built from this tree, once.
var program string

// missing is what this machine lacks for these tests, "" when nothing.
var missing string

const enclosed = "SPOKEWAY_SYSTEM_ENCLOSED"

func TestMain(m *testing.M) {
	flag.Parse()
	missing = lacks()
	if missing != "" {
		os.Exit(m.Run())
	}
	if program = os.Getenv(enclosed); program == "" {
		os.Exit(enclose())
	}
	if err := settle(); err != nil {
		fmt.Fprintln(os.Stderr, "make the enclosure:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// needs skips a test where this machine lacks something, and names it.
func needs(t *testing.T) {
	t.Helper()
	if missing != "" {
		t.Skip("skipped: needs " + missing)
	}
}

func lacks() string {
	if testing.Short() {
		return "more time than -short gives"
	}
	if os.Getuid() != 0 {
		return "root, for network namespaces"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return "/dev/net/tun"
	}
	for _, tool := range []string{"ip", "ping", "bridge", "tcpdump", "tshark", "setpriv", "unshare", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "the program " + tool
		}
	}
	return ""
}

// enclose builds the program and runs the tests in namespaces that end with them.
func enclose() int {
	dir, err := os.MkdirTemp("", "spokeway-system-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755) // other users run it too
	if at := os.Getenv("SPOKEWAY"); at != "" {
		return runIn(at)
	}
	at := filepath.Join(dir, "spokeway")
	if err := build(at); err != nil {
		fmt.Fprintln(os.Stderr, "build spokeway:", err)
		return 1
	}
	return runIn(at)
}

func build(at string) error {
	build := exec.Command("go", "build", "-o", at, "../../cmd/spokeway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return build.Run()
}

// abreast is how many tests run at once unless somebody says otherwise: most of the time they wait for timers.
const abreast = "-test.parallel=6"

// runIn runs the tests in the enclosure.
func runIn(at string) int {
	c := exec.Command("/proc/self/exe", append([]string{abreast}, os.Args[1:]...)...)
	c.Env = append(os.Environ(), enclosed+"="+at)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return c.ProcessState.ExitCode()
}

// settle gives the enclosure a /proc of its own, and an /run/netns and /tmp that nobody outside sees.
func settle() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, at := range []string{"/run/netns", scenes} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

// scenes is where the scenes keep their files: a short path, for sockets.
const scenes = "/run/spokeway-system"
