package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/packet"
)

var when = time.Unix(1700000000, 123456789)

func udp(n int) []byte {
	h := packet.Header{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), TTL: 64}
	return packet.AppendUDP(nil, h, 40000, 9, make([]byte, n))
}

func describe(name string) string {
	if name == "outer" {
		return "headers made anew"
	}
	return ""
}

// section is what a queue with three packets gives.
func section(t testing.TB) []byte {
	q := NewQueue()
	q.Put(Packet{Time: when, Interface: "tun0", Direction: In}, udp(5)[:20], udp(5)[20:])
	q.Put(Packet{Time: when.Add(1), Interface: "outer", Direction: Out}, nil, udp(6))
	q.Put(Packet{Time: when.Add(2), Interface: "tun0", Direction: Out}, nil, udp(7))
	var b bytes.Buffer
	if err := q.Stream(t.Context(), &b, "test", 3, describe); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	r := NewReader(bytes.NewReader(section(t)))
	var got []Packet
	var raw []byte
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, b.Raw...)
		if b.Packet != nil {
			p := *b.Packet
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
	}
	if !bytes.Equal(raw, section(t)) {
		t.Error("the blocks are not what was read")
	}
	want := []Packet{
		{when, "tun0", In, 0, udp(5)}, {when.Add(1), "outer", Out, 0, udp(6)}, {when.Add(2), "tun0", Out, 0, udp(7)},
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets", len(got))
	}
	for i, w := range want {
		g := got[i]
		if !g.Time.Equal(w.Time) || g.Interface != w.Interface || g.Direction != w.Direction || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("packet %d: %+v, want %+v", i, g, w)
		}
	}
}

// What is cut anywhere is an error, or what came before, never a panic.
func TestCutAtEveryLength(t *testing.T) {
	whole := section(t)
	for n := range whole {
		r := NewReader(bytes.NewReader(whole[:n]))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// A reader that does not read costs a bounded amount of memory, and the next packet says how many were lost.
func TestFullQueueCountsWhatItDrops(t *testing.T) {
	for name, size := range map[string]int{"by number": 1, "by octets": 60000} {
		q := NewQueue()
		const n = maxPackets + 10
		for range n {
			q.Put(Packet{Time: when, Interface: "tun0"}, nil, make([]byte, size))
		}
		kept := len(q.packets)
		if q.octets.Load() > maxOctets || kept+int(q.dropped.Load()) != n || q.dropped.Load() == 0 {
			t.Errorf("%s: %d octets, %d kept, %d dropped", name, q.octets.Load(), kept, q.dropped.Load())
		}
		var b bytes.Buffer
		if err := q.Stream(t.Context(), &b, "test", kept, describe); err != nil {
			t.Fatal(err)
		}
		var told uint64
		for r, err := NewReader(&b), error(nil); err == nil; {
			var block Block
			if block, err = r.Next(); err == nil && block.Packet != nil {
				told += block.Packet.Dropped
			}
		}
		if told != uint64(n-kept) || q.octets.Load() != 0 {
			t.Errorf("%s: told of %d lost packets, want %d; %d octets left", name, told, n-kept, q.octets.Load())
		}
	}
}

func TestStreamEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b bytes.Buffer
	if err := NewQueue().Stream(ctx, &b, "test", 0, describe); err != nil || b.Len() == 0 {
		t.Errorf("cancelled: %v, %d octets: want a section header", err, b.Len())
	}
	if err := NewQueue().Stream(t.Context(), failing{}, "test", 0, describe); !errors.Is(err, errFailing) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errFailing = errors.New("no")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

func TestTsharkReadsIt(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark, to read what we write: apt install tshark")
	}
	file := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(file, section(t), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", file, "-T", "fields", "-E", "separator= ", "-e", "frame.interface_name", "-e", "frame.time_epoch",
		"-e", "frame.packet_flags_direction", "-e", "ip.src", "-e", "udp.length", "-e", "_ws.malformed").Output()
	want := "tun0 1700000000.123456789 0x00000001 10.0.0.1 13 \n" +
		"outer 1700000000.123456790 0x00000002 10.0.0.1 14 \n" +
		"tun0 1700000000.123456791 0x00000002 10.0.0.1 15 \n"
	if strings.ReplaceAll(string(out), " \n", "\n") != strings.ReplaceAll(want, " \n", "\n") || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(section(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for range len(b) {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
