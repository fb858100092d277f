package bfdio

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// inside runs f on a thread that is in a namespace, and dies with it.
func inside(t *testing.T, ns string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		file, err := os.Open("/run/netns/" + ns)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// source is a UDP socket with a TTL.
func source(t *testing.T, family, ttl int) int {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil && family == unix.AF_INET {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl)
	} else if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
	}
	if err != nil {
		t.Error(err)
	}
	return fd
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16()}
}

// What names no session, and what has crossed a router, cannot fill the queue of what does; and a turn takes little of it.
func TestFloodOfStrangers(t *testing.T) {
	t.Parallel()
	s := newSpace(t, 1)
	const prefix = uint32(0xabcd0000)
	packet := func(yours uint32) []byte {
		p := bfd.Packet{State: bfd.Up, Multiplier: 3, Mine: 7, Yours: yours, DesiredTx: time.Second, RequiredRx: time.Second}
		return p.Append(nil)
	}
	for _, tt := range []struct {
		family, port int
		to           netip.Addr
	}{
		{unix.AF_INET, bfd.SinglePort, address4(0, 0)}, {unix.AF_INET6, bfd.SinglePort, address6(0)},
		{unix.AF_INET, bfd.MultiPort, address4(0, 0)}, {unix.AF_INET6, bfd.MultiPort, address6(0)},
	} {
		var all *sockets
		inside(t, s.names[0], func() {
			var err error
			if all, err = openSockets(); err != nil {
				t.Error(err)
			}
		})
		if all == nil {
			return
		}
		all.know(prefix)
		multihop := tt.port == bfd.MultiPort
		const junk = 5000
		inside(t, s.names[1], func() {
			near, far := source(t, tt.family, bfd.TTL), source(t, tt.family, 64)
			defer unix.Close(near)
			defer unix.Close(far)
			to := sockaddr(tt.to, tt.port)
			awaitReadable(t, all, false, func() { _ = unix.Sendto(near, []byte{1}, 0, to) }) // the neighbour is known then
			for i := range junk {
				_ = unix.Sendto(near, packet(uint32(i)), 0, to)
				_ = unix.Sendto(near, []byte{1, 2, 3}, 0, to)
				if !multihop {
					_ = unix.Sendto(far, packet(prefix|1), 0, to)
				}
			}
			if err := unix.Sendto(near, packet(prefix|9), 0, to); err != nil {
				t.Error(err)
			}
			awaitReadable(t, all, true, func() {})
		})
		var got []uint32
		taken := 0
		for _, r := range all.in {
			n := r.drain(func(d bfd.Received) {
				if p, err := bfd.Parse(d.Payload); err == nil && r.sessions {
					got = append(got, p.Yours)
				}
			})
			if !r.sessions {
				taken += n
			}
		}
		if len(got) != 1 || got[0] != prefix|9 {
			t.Errorf("port %d, to %v: the queue of sessions had %d packets (%x)", tt.port, tt.to, len(got), got[:min(len(got), 3)])
		}
		if taken != batch {
			t.Errorf("port %d, to %v: a turn takes %d packets of strangers, want %d", tt.port, tt.to, taken, batch)
		}
		if all.overflown() == 0 {
			t.Errorf("port %d, to %v: nobody counts what the kernel dropped", tt.port, tt.to)
		}
		all.close()
	}
}

// awaitReadable repeats do until one of the sockets has something: one that has what names sessions, or one of the others.
func awaitReadable(t *testing.T, all *sockets, sessions bool, do func()) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		do()
		var polls []unix.PollFd
		for _, r := range all.in {
			if r.sessions == sessions {
				polls = append(polls, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
			}
		}
		if n, err := unix.Poll(polls, 50); err == nil && n > 0 {
			return
		}
	}
	t.Errorf("nothing arrived at the sockets, of sessions: %t", sessions)
}

// A worker that is stopped gives no sign of life: it is killed, and what was not watched meanwhile is unknown, not down.
func TestWorkerIsStopped(t *testing.T) {
	t.Parallel()
	const sessions = 5
	s, h := pair(t, sessions, bfd.Parameters{Interval: time.Second, Multiplier: 20}, true)
	keeper := keeperIn(t, s.names[0])
	worker := children(t, keeper)[0]
	if err := unix.Kill(worker, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(ms) {
		h[0].mu.Lock()
		unknown := h[0].unknowns
		h[0].mu.Unlock()
		if unknown >= sessions {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the router does not know that its worker stands still: %d", unknown)
		}
	}
	h[0].await(liveness.Up, sessions, 20*time.Second)
	for i := range h {
		if _, falls := h[i].count(liveness.Up); falls > 0 {
			t.Errorf("end %d: %d paths were said to have failed", i, falls)
		}
	}
	if alive(worker) {
		t.Error("process " + strconv.Itoa(worker) + " still stands there")
	}
}

// The socket that has sessions over several hops must be readable by a worker that has given up its rights, too.
func TestSetAfterConfinement(t *testing.T) {
	t.Parallel()
	_, h := pair(t, 1, bfd.Parameters{Interval: 100 * ms, Multiplier: 5}, true)
	for i := range h {
		h[i].request(liveness.Watch{Interval: 100 * ms, Multiplier: 5,
			Target: liveness.Target{Peer: address4(1-i, 0), Local: address4(i, 0), Multihop: true}})
	}
	for i := range h {
		h[i].await(liveness.Up, 2, 20*time.Second)
	}
}
