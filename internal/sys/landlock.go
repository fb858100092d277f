package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What may be done with files, of landlock(7).
const (
	mayRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	mayWrite = mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	mayKeep  = mayWrite | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	mayDrive = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	ofFiles  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_EXECUTE
)

// grant is what may be done with a file, or with a folder and all in it.
type grant struct {
	path   string
	access uint64
}

// always is what every router needs. Of /etc all may be read that our user may: resolv.conf and hosts are put in place
// anew by others, so that a rule for the files themselves would end with them; links lead from there to the folders of
// who keeps them. /proc has our own figures for /metrics.
var always = []grant{
	{"/etc", mayRead},
	{"/run/systemd/resolve", mayRead}, {"/run/NetworkManager", mayRead}, {"/run/resolvconf", mayRead}, {"/run/connman", mayRead},
	{"/usr/share/zoneinfo", mayRead}, {"/proc", mayRead}, {"/sys/fs/cgroup", mayRead},
	{sysctls, mayWrite}, {"/dev/net/tun", mayDrive},
}

// confineFiles leaves of the file system what a router needs. A path that does not exist gets no rule.
func (s Sandbox) confineFiles() (Check, error) {
	c := Check{Name: "landlock", Status: OK}
	abi := landlockABI()
	if abi < 1 {
		c.Status, c.Detail = Warn, "this kernel has none: the process may open what its user may"
		return c, nil
	}
	rules, err := newRuleset(abi)
	if err != nil {
		return c, err
	}
	defer unix.Close(rules.fd)
	for _, g := range s.grants() {
		if err := rules.add(g); err != nil {
			return c, fmt.Errorf("%s: %w", g.path, err)
		}
	}
	c.Detail = fmt.Sprintf("in force, version %d", abi)
	return c, everyThread(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules.fd), 0, 0)
}

func (s Sandbox) grants() []grant {
	if s.Bare {
		return nil
	}
	out := append([]grant(nil), always...)
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		out = append(out, grant{filepath.Dir(target), mayRead})
	}
	for _, p := range s.Readable {
		out = append(out, grant{p, mayRead})
	}
	for _, p := range s.Writable {
		out = append(out, grant{p, mayKeep})
	}
	return out
}

// landlockABI is the version of landlock that the kernel has; 0 is none.
func landlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// ruleset is a landlock ruleset, and the kinds of access that it forbids where no rule allows them.
type ruleset struct {
	fd      int
	handled uint64
}

// accessOf is which kinds of access a version knows: the first 13, then one or none more with each version.
func accessOf(abi int) uint64 {
	handled := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1)
	for since, access := range map[int]uint64{2: unix.LANDLOCK_ACCESS_FS_REFER, 3: unix.LANDLOCK_ACCESS_FS_TRUNCATE, 5: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV} {
		if abi >= since {
			handled |= access
		}
	}
	return handled
}

func newRuleset(abi int) (ruleset, error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: accessOf(abi)}
	size := unsafe.Sizeof(attr.Handled_access_fs) // all that the first versions take
	if abi >= 6 {
		attr.Scoped, size = unix.LANDLOCK_SCOPE_SIGNAL, unsafe.Sizeof(attr)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return ruleset{}, errno
	}
	unix.CloseOnExec(int(fd))
	return ruleset{int(fd), attr.Handled_access_fs}, nil
}

func (r ruleset) add(g grant) error {
	fd, err := unix.Open(g.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // nothing there that could be opened later
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	access := g.access & r.handled
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= ofFiles
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
