package ospf

import (
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
)

// RFC 3623 3.2: a neighbour that restarts may say that it is back before its first hello is heard, when it goes by ours: it is not
// silent for that.
func TestBackBeforeItsHello(t *testing.T) {
	cfg := oneArea("2.2.2.2", p2p("e0"), lan("lan"))
	cfg.Restart.Period = 2 * time.Minute
	w := pair(t, 1, func(a, b *Config) { *b = cfg })
	a, b := w.routers["a"], w.routers["b"]
	w.run(time.Minute)
	before := a.routes()
	b.loop.Post(Name, core.Stop{Restart: true})
	b.loop.Run(w.now)
	w.run(time.Second)
	b.off = true
	w.run(time.Minute) // longer than the dead interval
	a.logs = nil
	const hello = 1 // RFC 2328 A.3.1
	w.spy = func(from *router, p core.SendIP) { w.cut["s"] = from == b && p.Payload[1] == hello }
	b.boot(cfg)
	w.run(15 * time.Second)
	if !strings.Contains(strings.Join(a.logs, "\n"), "it is back") {
		t.Errorf("a does not know it to be back:\n%s", strings.Join(a.logs, "\n"))
	}
	w.spy, w.cut["s"] = nil, false
	for range 20 {
		w.run(3 * time.Second)
		if got := a.routes(); got != before {
			t.Fatalf("%v: routes %s\nlogs %s", w.now, got, strings.Join(a.logs, "\n"))
		}
	}
	w.wantStates("a", "2.2.2.2 full")
	if logs := strings.Join(a.logs, "\n"); strings.Contains(logs, "nothing heard") {
		t.Error(logs)
	}
}
