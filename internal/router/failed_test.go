package router

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/tunnel"
)

// listener is a module that notes what failed.
type listener struct {
	name  string
	heard *[]string
}

func (l listener) Name() string { return l.name }

func (l listener) Handle(_ *core.Env, ev core.Event) {
	if f, ok := ev.(dataplane.Failed); ok {
		*l.heard = append(*l.heard, l.name+": "+f.Doing)
	}
}

type nowhere struct{}

func (nowhere) Do(core.Effect) {}

// What the data plane could not do is heard by who wanted it: a tunnel's module of its tunnel, IKE of its keys.
func TestWhoHearsOfAFailure(t *testing.T) {
	r := &Router{opts: Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, queue: newQueue(), unmade: map[string]bool{}}
	loop := core.NewLoop(0, rand.New(rand.NewPCG(1, 1)), nowhere{})
	var heard []string
	for _, name := range []string{tunnel.Name, ike.Name} {
		loop.Add(listener{name, &heard}, core.Start{})
	}
	for _, f := range []dataplane.Failed{
		{Tunnel: "tun0", Doing: "make the device", Down: true},
		{Tunnel: "tun0", Doing: "read from the device"},
		{Doing: "install inbound", SA: 7, SPI: 0x1001},
	} {
		if !r.forwarded(f) {
			t.Errorf("%s: lost", f.Doing)
		}
	}
	for _, f := range r.queue.take() {
		f(loop)
	}
	loop.Run(0)
	if want := []string{tunnel.Name + ": make the device", ike.Name + ": install inbound"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}
