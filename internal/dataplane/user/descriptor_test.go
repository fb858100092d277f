package user

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watched is two ends of a pipe for datagrams, the first one watched.
func watched(t *testing.T) (*descriptor, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	d, err := watch(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d, fds[1]
}

func TestReaderWaits(t *testing.T) {
	d, far := watched(t)
	b, n, tries := make([]byte, 16), 0, 0
	r := d.reader(func() (e unix.Errno) {
		tries++
		n, e = read(d.fd, b)
		return e
	})
	got := make(chan string)
	go func() {
		defer close(got)
		for {
			e, ok := r.next()
			if !ok {
				return
			}
			if e != 0 {
				t.Errorf("read: %v", e)
			}
			got <- string(b[:n])
		}
	}()
	for _, s := range []string{"one", "two", "three"} {
		if e := write(far, []byte(s)); e != 0 {
			t.Fatal(e)
		}
		if g := <-got; g != s {
			t.Errorf("read %q, want %q", g, s)
		}
	}
	d.end()
	if g, more := <-got; more {
		t.Errorf("read %q after the end", g)
	}
	if e := write(far, []byte("late")); e != 0 {
		t.Fatal(e)
	}
	if _, ok := r.next(); ok {
		t.Error("what has ended goes on")
	}
	if tries > 20 { // two for each datagram, and one more
		t.Errorf("%d reads for 3 datagrams: it does not wait", tries)
	}
}

func TestAwaitRoom(t *testing.T) {
	d, far := watched(t)
	if !d.awaitRoom(time.Minute) {
		t.Error("an empty buffer has no room")
	}
	full := 0
	for write(d.fd, make([]byte, 1000)) == 0 {
		full++
	}
	if began := time.Now(); d.awaitRoom(20*time.Millisecond) || time.Since(began) < 20*time.Millisecond {
		t.Errorf("a full buffer has room after %v, or was not waited for", time.Since(began))
	}
	room := make(chan bool)
	go func() { room <- d.awaitRoom(time.Minute) }()
	for range full {
		if _, e := read(far, make([]byte, 1000)); e != 0 {
			t.Fatal(e)
		}
	}
	if !<-room {
		t.Error("there is room, and it waited in vain")
	}
}

// What the kernel says of a packet that was sent wakes who reads, and does not keep him awake.
func TestReaderOutlivesErrors(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []option{{unix.SOL_IPV6, unix.IPV6_RECVERR, 1, false}} {
		if err := o.set(fd); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err != nil {
		unix.Close(fd)
		t.Skipf("needs IPv6 on the loopback: %v", err)
	}
	d, err := watch(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	self, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	closed := &unix.SockaddrInet6{Addr: [16]byte{15: 1}, Port: 9} // nobody listens: ICMP says so
	errors, tries := 0, 0
	b := make([]byte, 16)
	r := d.reader(func() (e unix.Errno) {
		tries++
		_, e = read(d.fd, b)
		return e
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, ok := r.next()
			switch {
			case !ok:
				t.Error("ended by itself")
				return
			case e == 0:
				return
			case e != unix.ECONNREFUSED:
				t.Errorf("read: %v", e)
			}
			errors++
			forgetErrors(d.fd)
		}
	}()
	const sent = 5
	for range sent {
		_ = unix.Sendto(fd, []byte("x"), 0, closed)
	}
	for unix.Sendto(fd, []byte("end"), 0, self) != nil { // it says what ICMP said of another, once for each of them
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("what came after errors was not read")
	}
	if tries > 4*sent {
		t.Errorf("%d reads for %d errors and a datagram", tries, errors)
	}
}
