package nhrp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/protect"
)

// A peer that needs its SA with us no more closes it (RFC 7296 section 1.4.1). We may need it yet: then the next packet that
// goes by the hub makes another at once. An SA that broke, or that the peer closes as soon as it is there, is not tried
// again before a while.
func TestPeerThatClosesItsSAIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		name   string
		used   time.Duration // how long the shortcut has been there
		closed bool
		want   string // type of the row that is left after the end, and after the next redirect
	}{
		{"closed in good order", time.Minute, true, " dynamic"},
		{"broke", time.Minute, false, "negative negative"},
		{"closed as soon as it was there", time.Second, true, "negative negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, spoke2 := protectedCloud(t, false)
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			w.pass(c.used, true)
			s := w.between(spoke1, spoke2)
			end := s.end(spoke1)
			w.tunnels = w.tunnels[:len(w.tunnels)-1]
			var lines []string
			spoke1.loop.Log = func(_ core.Level, event string, args []any) {
				lines = append(lines, fmt.Sprintln(append([]any{event}, args...)...))
			}
			spoke1.tell(protect.Down{SA: end.handle, Local: spoke1.nbma, Remote: end.remote, Reason: "closed by the peer", Closed: c.closed})
			w.run(0)
			got := spoke1.shortcut("192.168.12.5/32").Type + " "
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			if got += spoke1.shortcut("192.168.12.5/32").Type + spoke1.shortcut("192.168.12.0/24").Type; got != c.want {
				t.Errorf("%q, want %q: %+v", got, c.want, spoke1.module.Shortcuts(w.now))
			}
			for _, line := range lines {
				if strings.Contains(line, "invalid") {
					t.Errorf("a line that says where nothing is: %s", line)
				}
			}
			w.audit()
		})
	}
}
