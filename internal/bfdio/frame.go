package bfdio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// kind of a frame.
type kind uint8

const (
	// From the router. Before the first reset a worker obeys nothing: it may be what was meant for the one before.
	kindReset kind = iota + 1
	kindSet
	kindDelete
	kindHalt
	// To the router.
	kindReady
	kindReport
	kindCounted
	kindLost
)

// A message on the socket pair is whole frames, each of this size: a kind and what the kind has.
const (
	frameSize  = 160
	maxFrames  = 64 // in a message
	maxMessage = frameSize * maxFrames
)

// spec is a [bfd.Spec] as package binary can have it.
type spec struct {
	ID          uint32
	Peer, Local address
	Index       int32
	Multihop    bool
	MinTTL      uint8
	Port        uint16
	Interval    time.Duration
	Multiplier  uint8
	Passive     bool
	Demand      time.Duration
	Resume      bfd.Remote
}

// address is 4 or 16 octets, or none.
type address struct {
	Len   uint8
	Bytes [16]byte
}

func packAddress(a netip.Addr) (out address) {
	out.Len = uint8(copy(out.Bytes[:], a.AsSlice()))
	return out
}

func (a address) unpack() netip.Addr {
	out, _ := netip.AddrFromSlice(a.Bytes[:min(int(a.Len), 16)])
	return out
}

func packSpec(s bfd.Spec) spec {
	return spec{s.ID, packAddress(s.Peer), packAddress(s.Local), int32(s.Index), s.Multihop, s.MinTTL, s.Port, s.Interval, s.Multiplier,
		s.Passive, s.Demand, s.Resume}
}

func (s spec) unpack() bfd.Spec {
	return bfd.Spec{ID: s.ID, Peer: s.Peer.unpack(), Local: s.Local.unpack(), Index: int(s.Index), Multihop: s.Multihop, MinTTL: s.MinTTL,
		Port: s.Port, Interval: s.Interval, Multiplier: s.Multiplier, Passive: s.Passive, Demand: s.Demand, Resume: s.Resume}
}

// appendFrame writes a frame; body is nil or of a fixed size.
func appendFrame(b []byte, k kind, body any) []byte {
	at := len(b)
	b = append(b, byte(k))
	if body != nil {
		var err error
		if b, err = binary.Append(b, binary.NativeEndian, body); err != nil || len(b)-at > frameSize {
			panic(fmt.Sprintf("bfdio: a frame with %T: %v", body, err)) // a type that is not of a fixed size
		}
	}
	return append(b, make([]byte, frameSize-(len(b)-at))...)
}

// words is the body of [kindLost].
type words [frameSize - 1]byte

func packWords(s string) (w words) {
	copy(w[:], strings.ToValidUTF8(s[:min(len(s), len(w))], ""))
	return w
}

func (w words) String() string {
	s, _, _ := bytes.Cut(w[:], []byte{0})
	return string(s)
}

// command is a frame from the router as an effect; nil for what is none.
func command(frame []byte) any {
	switch kind(frame[0]) {
	case kindReset:
		return reset{}
	case kindSet:
		return bfd.Set{Spec: body[spec](frame).unpack()}
	case kindDelete:
		return bfd.Delete{ID: body[uint32](frame)}
	case kindHalt:
		return bfd.Halt{}
	}
	return nil
}

type reset struct{}

// event is a frame to the router as an event; nil for what is none.
func event(frame []byte) any {
	switch kind(frame[0]) {
	case kindReady:
		return bfd.Ready{}
	case kindReport:
		return body[bfd.Report](frame)
	case kindCounted:
		return body[bfd.Counted](frame)
	case kindLost:
		return bfd.Lost{Reason: body[words](frame).String()}
	}
	return nil
}

func body[T any](frame []byte) (v T) {
	_, _ = binary.Decode(frame[1:], binary.NativeEndian, &v) // a frame has room for every body
	return v
}
