package sys

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// takePort tries whether a UDP port is free, and lets go of it.
func takePort(port int) error {
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return err
	}
	return c.Close()
}

// routeTo asks the kernel which interface a packet would leave by.
func routeTo(to netip.Addr) (index int, err error) {
	c, err := dial(ackBuffer)
	if err != nil {
		return 0, err
	}
	defer c.close()
	var t batch
	c.request(&t, unix.RTM_GETROUTE, 0, func(b []byte) []byte {
		b = append(b, family(to), uint8(to.BitLen()), 0, 0, 0, 0, 0, 0)
		return appendAttr(native.AppendUint32(b, 0), unix.RTA_DST, to.AsSlice())
	})
	if err := c.send(t.b); err != nil {
		return 0, err
	}
	_ = c.file.SetReadDeadline(time.Now().Add(timeout))
	for {
		b, err := c.receive(true)
		if err != nil {
			return 0, fmt.Errorf("ask the kernel: %w", err)
		}
		for m, rest, ok := split(b); ok; m, rest, ok = split(rest) {
			switch m.kind {
			case unix.RTM_NEWROUTE:
				return outInterface(m.body)
			case unix.NLMSG_ERROR:
				if err := ackError(m); err != nil {
					return 0, err
				}
			}
		}
	}
}

// outInterface reads the answer to a question for one address, which is a clone that parseRoute leaves out.
func outInterface(b []byte) (int, error) {
	if len(b) >= unix.SizeofRtMsg {
		for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
			if kind == unix.RTA_OIF {
				return int(u32(v)), nil
			}
		}
	}
	return 0, errors.New("the kernel names no interface")
}
