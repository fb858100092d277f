package capture

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Request is what is to be captured.
type Request struct {
	Peer         string // protocol address, underlay address, or [Everybody]
	Inner, Outer bool
	Count        int           // packets; 0 = any number
	Duration     time.Duration // 0 = as long as somebody reads
}

// Everybody is the peer that is all peers.
const Everybody = "all"

// Limits of a queue. What does not fit is counted, and nobody waits.
const (
	maxPackets = 8192
	maxOctets  = 16 << 20
	chunk      = 64 << 10 // of one Write
)

// Queue takes packets from any goroutine, without ever waiting, and gives them to one writer.
type Queue struct {
	packets chan Packet
	octets  atomic.Int64
	dropped atomic.Uint64
}

// NewQueue makes a queue.
func NewQueue() *Queue { return &Queue{packets: make(chan Packet, maxPackets)} }

// Put copies a packet, its header and the rest, into the queue. The Data of p is ignored.
func (q *Queue) Put(p Packet, header, rest []byte) {
	n := int64(len(header) + len(rest))
	if q.octets.Add(n) > maxOctets {
		q.octets.Add(-n)
		q.dropped.Add(1)
		return
	}
	p.Data = append(append(make([]byte, 0, n), header...), rest...)
	select {
	case q.packets <- p:
	default:
		q.octets.Add(-n)
		q.dropped.Add(1)
	}
}

// Stream writes a section with what comes until ctx ends, w fails, or so many packets are written (0 is no limit). Each
// Write is of whole blocks. describe says what an interface is.
func (q *Queue) Stream(ctx context.Context, w io.Writer, application string, count int, describe func(string) string) error {
	e := &encoder{interfaces: map[string]uint32{}, describe: describe}
	b := e.header(nil, application)
	for written := 0; ; {
		if _, err := w.Write(b); err != nil {
			return err
		}
		if count > 0 && written >= count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case p := <-q.packets:
			b, written = q.encode(e, b[:0], p), written+1
		}
		for more := true; more && len(b) < chunk && (count == 0 || written < count); {
			select {
			case p := <-q.packets:
				b, written = q.encode(e, b, p), written+1
			default:
				more = false
			}
		}
	}
}

func (q *Queue) encode(e *encoder, b []byte, p Packet) []byte {
	q.octets.Add(-int64(len(p.Data)))
	p.Dropped += q.dropped.Swap(0)
	return e.packet(b, p)
}
