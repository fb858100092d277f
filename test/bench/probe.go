package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/packet"
)

// echo is one request and what became of it.
type echo struct {
	sent time.Time
	rtt  time.Duration // 0: no answer
	ttl  uint8         // of the answer
}

// prober sends ICMP echo requests at a fixed pace and times the answers. It has a thread to itself and asks the kernel
// to wake it: neither ping(8)'s pace nor the Go scheduler's timers are good to a tenth of a millisecond.
type prober struct {
	fd   int
	id   uint16
	sent []echo
	wait int
}

var lastID atomic.Uint32

const (
	icmpEchoReply   = 0
	icmpEchoRequest = 8
	icmpLen         = 8
)

// newProber opens a socket in the namespace.
func newProber(l *lab, space string, from, to netip.Addr) (*prober, error) {
	p := &prober{id: uint16(lastID.Add(1))}
	err := l.in(space, func() (err error) {
		p.fd, err = icmpSocket()
		return err
	})
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.Bind(p.fd, &unix.SockaddrInet4{Addr: from.As4()}), unix.Connect(p.fd, &unix.SockaddrInet4{Addr: to.As4()}))
	return p, err
}

func icmpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	}
	return fd, err
}

func (p *prober) close() { unix.Close(p.fd) }

// run sends until enough says so, then waits for what is outstanding, at most for patience.
func (p *prober) run(ctx context.Context, interval, patience time.Duration, enough func(sent []echo) bool) []echo {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	next := time.Now()
	for !enough(p.sent) && ctx.Err() == nil {
		p.request()
		next = next.Add(interval)
		for now := time.Now(); now.Before(next); now = time.Now() {
			p.pollUntil(next)
		}
		p.drain()
	}
	for deadline := time.Now().Add(patience); p.wait > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		p.pollUntil(deadline)
	}
	return p.sent
}

func (p *prober) pollUntil(t time.Time) {
	timeout := unix.NsecToTimespec(max(0, time.Until(t).Nanoseconds()))
	if n, _ := unix.Ppoll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, &timeout, nil); n > 0 {
		p.drain()
	}
}

func (p *prober) request() {
	var b [icmpLen + 8]byte
	b[0] = icmpEchoRequest
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint64(b[8:], uint64(len(p.sent)))
	binary.BigEndian.PutUint16(b[2:], ^packet.Fold(packet.Sum(b[:], 0)))
	p.sent = append(p.sent, echo{sent: time.Now()})
	p.wait++
	unix.Write(p.fd, b[:]) // what is not sent is not answered, and counts as lost
}

func (p *prober) drain() {
	var b [256]byte
	for {
		n, err := unix.Read(p.fd, b[:])
		if err != nil {
			return
		}
		now := time.Now()
		h, ok := parseEcho(b[:n])
		if !ok || h.kind != icmpEchoReply || h.id != p.id || h.number >= uint64(len(p.sent)) || p.sent[h.number].rtt != 0 {
			continue
		}
		e := &p.sent[h.number]
		e.rtt, e.ttl = now.Sub(e.sent), h.ttl
		p.wait--
	}
}

type echoHeader struct {
	kind, ttl uint8
	id        uint16
	number    uint64
}

// parseEcho reads an IPv4 packet with an echo message of ours.
func parseEcho(b []byte) (h echoHeader, ok bool) {
	if len(b) < 20 || len(b) < int(b[0]&15)*4+icmpLen+8 {
		return h, false
	}
	m := b[int(b[0]&15)*4:]
	return echoHeader{m[0], b[8], binary.BigEndian.Uint16(m[4:]), binary.BigEndian.Uint64(m[8:])}, true
}

// ear hears the requests where they arrive. Only there does the TTL tell which way a packet went.
type ear struct {
	fd   int
	stop atomic.Bool
	done chan struct{}
	hear func(id uint16, ttl uint8, at time.Time)
}

// listen calls hear, on a goroutine of its own, for every echo request that arrives in the namespace.
func listen(l *lab, space string, hear func(id uint16, ttl uint8, at time.Time)) (*ear, error) {
	e := &ear{done: make(chan struct{}), hear: hear}
	err := l.in(space, func() (err error) {
		e.fd, err = icmpSocket()
		return err
	})
	if err != nil {
		return nil, err
	}
	go e.run()
	return e, nil
}

func (e *ear) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.done)
	var b [256]byte
	for !e.stop.Load() {
		unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}, 50)
		for n, err := unix.Read(e.fd, b[:]); err == nil; n, err = unix.Read(e.fd, b[:]) {
			if h, ok := parseEcho(b[:n]); ok && h.kind == icmpEchoRequest {
				e.hear(h.id, h.ttl, time.Now())
			}
		}
	}
}

func (e *ear) close() {
	e.stop.Store(true)
	<-e.done
	unix.Close(e.fd)
}

// ping sends n requests a millisecond apart and gives the times of the answers, in microseconds.
func ping(l *lab, space string, from, to netip.Addr, n int) (us []float64, lost int, err error) {
	p, err := newProber(l, space, from, to)
	if err != nil {
		return nil, 0, err
	}
	defer p.close()
	for _, e := range p.run(l.ctx, time.Millisecond, time.Second, func(sent []echo) bool { return len(sent) >= n }) {
		if e.rtt == 0 {
			lost++
		} else {
			us = append(us, float64(e.rtt.Nanoseconds())/1000)
		}
	}
	return us, lost, l.ctx.Err()
}
