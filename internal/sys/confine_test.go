package sys

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
)

// TestConfined gives a process of its own up what a router does, and tries to get at it again.
func TestConfined(t *testing.T) {
	if dir := os.Getenv("SYS_TEST_CONFINED"); dir != "" {
		confined(t, dir)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to have something to give up")
	}
	dir := t.TempDir()
	for _, d := range []string{"etc", "state", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, d, "file"))
	}
	c := exec.Command(staticTest(t), "-test.run", "^TestConfined$", "-test.v")
	c.Env = append(os.Environ(), "SYS_TEST_CONFINED="+dir, "TMPDIR="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestConfined") {
		t.Errorf("it did not come to its end:\n%s", out)
	}
}

// staticTest is this test binary as the program is built, without cgo.
func staticTest(t *testing.T) string {
	if !errors.Is(everyThread(unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0), unix.ENOTSUP) {
		return os.Args[0]
	}
	bin := filepath.Join(t.TempDir(), "sys.test")
	c := exec.Command("go", "test", "-c", "-o", bin, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func write(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// thread keeps a thread of its own alive, as a plane's workers are.
func thread() {
	ready := make(chan bool)
	go func() {
		runtime.LockOSThread()
		ready <- true
		select {}
	}()
	<-ready
}

func confined(t *testing.T, dir string) {
	for range 4 {
		thread()
	}
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	s := Sandbox{Readable: []string{filepath.Join(dir, "etc"), filepath.Join(dir, "nowhere")}, Writable: []string{filepath.Join(dir, "state")}}
	checks, err := s.Enter()
	if err != nil || len(checks) != 4 {
		t.Fatalf("%+v %v", checks, err)
	}
	for _, c := range checks {
		if c.Status != OK {
			t.Errorf("%+v", c)
		}
	}
	for range 4 {
		thread() // those that come later are confined as well
	}
	everyThreadIsConfined(t)
	deniedCalls(t)
	deniedFiles(t, dir)
	allowed(t, dir)
}

func everyThreadIsConfined(t *testing.T) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 9 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, name := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"} {
			got[name] = field(string(b), name)
		}
		const three, none = "0000000000003400", "0000000000000000" // bits 10, 12, 13
		want := map[string]string{"CapInh": none, "CapPrm": three, "CapEff": three, "CapBnd": three, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("thread %s: %v", task.Name(), got)
		}
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Max != 0 {
		t.Errorf("core dumps: %+v %v", core, err)
	}
	if d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || d != 0 {
		t.Errorf("dumpable: %d %v", d, err)
	}
	self, err := os.ReadFile("/proc/self/status")
	if c := checkConfinement(os.Getpid(), string(self)); err != nil || c.Status != OK {
		t.Errorf("the doctor says %+v", c)
	}
}

func deniedCalls(t *testing.T) {
	if err := unix.Exec("/bin/true", nil, nil); err != unix.EPERM {
		t.Errorf("another program: %v", err)
	}
	zero := func(number uintptr, args ...uintptr) error {
		a := append(args, 0, 0, 0, 0)
		_, _, e := unix.Syscall6(number, a[0], a[1], a[2], a[3], 0, 0)
		if e == 0 {
			return nil
		}
		return e
	}
	for _, n := range denied {
		if err := zero(uintptr(n), ^uintptr(0)); err != unix.EPERM {
			t.Errorf("system call %d: %v", n, err)
		}
	}
	for name, got := range map[string]error{
		"another process":            zero(unix.SYS_CLONE, uintptr(syscall.SIGCHLD)),
		"a thread in a namespace":    zero(unix.SYS_CLONE, unix.CLONE_THREAD|unix.CLONE_NEWNET),
		"memory that is executed":    second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)),
		"typing into the terminal":   zero(unix.SYS_IOCTL, 0, unix.TIOCSTI),
		"capabilities taken back":    takeBack(),
		"the namespace of the first": zero(unix.SYS_SETNS, 0, 0),
	} {
		if !errors.Is(got, unix.EPERM) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, family := range []int{unix.AF_PACKET, unix.AF_ALG, unix.AF_VSOCK, unix.AF_KEY} {
		if _, err := unix.Socket(family, unix.SOCK_RAW, 0); err != unix.EAFNOSUPPORT {
			t.Errorf("a socket of family %d: %v", family, err)
		}
	}
	if err := zero(unix.SYS_CLONE3); err != unix.ENOSYS {
		t.Errorf("clone3: %v", err)
	}
}

func takeBack() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Permitted: 1 << unix.CAP_SYS_ADMIN, Effective: 1 << unix.CAP_SYS_ADMIN}}
	_, _, e := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&data[0])), 0)
	return e
}

func second[T any](_ T, err error) error { return err }

func deniedFiles(t *testing.T, dir string) {
	for name, err := range map[string]error{
		"a file elsewhere":             second(os.ReadFile(filepath.Join(dir, "elsewhere", "file"))),
		"a folder elsewhere":           second(os.ReadDir(filepath.Join(dir, "elsewhere"))),
		"a program":                    second(os.ReadFile("/bin/sh")),
		"a new file elsewhere":         os.WriteFile(filepath.Join(dir, "elsewhere", "new"), nil, 0o600),
		"writing the configuration":    os.WriteFile(filepath.Join(dir, "etc", "file"), nil, 0o600),
		"removing the configuration":   os.Remove(filepath.Join(dir, "etc", "file")),
		"truncating the configuration": os.Truncate(filepath.Join(dir, "etc", "file"), 0),
		"a folder in the state":        os.Mkdir(filepath.Join(dir, "state", "new"), 0o700),
		"a link in the state":          os.Symlink("/etc/shadow", filepath.Join(dir, "state", "link")),
		"a setting outside net":        os.WriteFile("/proc/sys/kernel/core_pattern", []byte("core"), 0),
		"memory by its device":         second(os.OpenFile("/dev/mem", os.O_RDWR, 0)),
	} {
		if !errors.Is(err, os.ErrPermission) && !(name == "memory by its device" && errors.Is(err, os.ErrNotExist)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// allowed is what a router goes on doing.
func allowed(t *testing.T, dir string) {
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	ok("read a key", second(os.ReadFile(filepath.Join(dir, "etc", "file"))))
	ok("read the resolver's file", second(os.ReadFile("/etc/hosts")))
	ok("replace the state", replaceFile(filepath.Join(dir, "state", "file"), []byte("y")))
	ok("write a setting", os.WriteFile("/proc/sys/net/ipv4/conf/lo/send_redirects", []byte("1"), 0))
	ok("write it again by the sysctl", writeSysctl("ipv4/conf/lo/send_redirects", "0"))
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	ok("open the TUN device", err)
	if err == nil {
		_, err = unix.IoctlGetInt(int(tun.Fd()), unix.TUNGETFEATURES)
		ok("drive the TUN device", err)
		tun.Close()
	}
	for what, open := range map[string]func() (int, error){
		"GRE":     func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_GRE) },
		"ESP":     func() (int, error) { return unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ESP) },
		"netlink": func() (int, error) { return unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) },
	} {
		fd, err := open()
		ok("a socket for "+what, err)
		unix.Close(fd)
	}
	for _, l := range []core.Listen{rawListen("lo", false, "224.0.0.5"), rawListen("lo", true, "ff02::5")} {
		s := raw{listen: l}
		ok("a socket for OSPF", s.make(indexOf("lo")))
		s.close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok("listen", err)
	if err == nil {
		l.Close()
	}
	done := make(chan bool)
	go func() { time.Sleep(time.Millisecond); runtime.GC(); done <- true }()
	<-done
}

func TestFilterIsSound(t *testing.T) {
	p := filter(1)
	for i, f := range p {
		if f.Code&7 == unix.BPF_JMP && (i+1+int(f.Jt) >= len(p) || i+1+int(f.Jf) >= len(p)) {
			t.Errorf("instruction %d jumps behind the end", i)
		}
	}
	if last := p[len(p)-1]; last.Code != unix.BPF_RET|unix.BPF_K || last.K != unix.SECCOMP_RET_ALLOW || len(p) > 4096 {
		t.Errorf("%d instructions that end with %+v", len(p), last)
	}
	seen := map[uint32]bool{}
	for _, n := range denied {
		if seen[n] {
			t.Errorf("call %d is listed twice", n)
		}
		seen[n] = true
	}
}

func TestDoctorOnConfinement(t *testing.T) {
	const good = "Name:\tspokeway\nCapPrm:\t0000000000003400\nNoNewPrivs:\t1\nSeccomp:\t2\n"
	for _, tt := range []struct {
		name, status string
		pid          int
		want         Status
		words        string
	}{
		{"confined", good, 7, OK, "process 7"},
		{"fewer capabilities", strings.Replace(good, "3400", "3000", 1), 7, OK, ""},
		{"root's capabilities", strings.Replace(good, "0000000000003400", "000001ffffffffff", 1), 7, Warn, "capabilities it does not need"},
		{"privileges", strings.Replace(good, "NoNewPrivs:\t1", "NoNewPrivs:\t0", 1), 7, Warn, "may gain privileges"},
		{"no filter", strings.Replace(good, "Seccomp:\t2", "Seccomp:\t0", 1), 7, Warn, "no system call filter"},
		{"gone", "", 7, Skip, "cannot be looked at"},
	} {
		c := checkConfinement(tt.pid, tt.status)
		if c.Status != tt.want || !strings.Contains(c.Detail, tt.words) || (c.Status == Warn) != (c.Remedy != "") {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
	if c := checkConfinement(0, ""); c.Detail == "" || c.Status == Fail {
		t.Errorf("no daemon: %+v", c)
	}
}
