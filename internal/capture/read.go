package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxBlock bounds what is read for one block.
const maxBlock = 1 << 20

// Block is one block as it came; Packet is set when it holds one.
type Block struct {
	Raw    []byte // until the next block is read
	Packet *Packet
}

// Reader reads what [Queue.Stream] wrote.
type Reader struct {
	r     *bufio.Reader
	raw   []byte
	names []string
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, chunk)} }

var errBlock = errors.New("read pcapng: a block is damaged")

// Next is the next block; io.EOF behind the last.
func (r *Reader) Next() (Block, error) {
	head, err := r.r.Peek(8)
	if err != nil {
		if len(head) == 0 {
			return Block{}, err
		}
		return Block{}, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n < 12 || n > maxBlock || n%4 != 0 {
		return Block{}, fmt.Errorf("%w: its length is %d", errBlock, n)
	}
	if uint32(cap(r.raw)) < n {
		r.raw = make([]byte, n)
	}
	r.raw = r.raw[:n]
	if _, err := io.ReadFull(r.r, r.raw); err != nil {
		return Block{}, io.ErrUnexpectedEOF
	}
	b := Block{Raw: r.raw}
	body := r.raw[8 : n-4]
	switch binary.LittleEndian.Uint32(r.raw) {
	case interfaceDescription:
		err = r.describe(body)
	case enhancedPacket:
		b.Packet, err = r.packet(body)
	}
	return b, err
}

func (r *Reader) describe(body []byte) error {
	if len(body) < 8 {
		return errBlock
	}
	name := ""
	err := options(body[8:], func(code uint16, value []byte) {
		if code == optName {
			name = string(value)
		}
	})
	r.names = append(r.names, name)
	return err
}

func (r *Reader) packet(body []byte) (*Packet, error) {
	if len(body) < 20 {
		return nil, errBlock
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(body[4*i:]) }
	id, n := word(0), uint64(word(3))
	padded := (n + 3) &^ 3
	if uint64(id) >= uint64(len(r.names)) || padded > uint64(len(body)-20) {
		return nil, errBlock
	}
	p := &Packet{
		Time: time.Unix(0, int64(uint64(word(1))<<32|uint64(word(2)))), Interface: r.names[id], Data: body[20 : 20+n],
	}
	return p, options(body[20+padded:], func(code uint16, value []byte) {
		switch {
		case code == optFlags && len(value) == 4:
			p.Direction = Direction(binary.LittleEndian.Uint32(value) & 3)
		case code == optDropped && len(value) == 8:
			p.Dropped = binary.LittleEndian.Uint64(value)
		}
	})
}

func options(b []byte, f func(code uint16, value []byte)) error {
	for len(b) >= 4 {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return errBlock
		}
		f(code, b[4:4+n])
		b = b[4+padded:]
	}
	return nil
}
