package ospf

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkHub is a hub and spokes that all come at once, until everybody knows everybody.
func BenchmarkHub(b *testing.B) {
	for _, spokes := range []int{50, 200} {
		b.Run(fmt.Sprint(spokes, " spokes"), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(&testing.T{}, 1)
				w.add("hub", oneArea("1.1.1.1", p2mp("t"), lan("lan")), "t cloud 10.1.0.1/16 hub", "lan lh 192.168.1.1/24")
				for k := range spokes {
					w.add(fmt.Sprint("s", k), oneArea(fmt.Sprintf("9.0.%d.%d", k/250, k%250+1), p2mp("t")), fmt.Sprintf("t cloud 10.1.%d.%d/16", k/250+1, k%250+1))
				}
				for w.routers["hub"].m.Instances(w.now)[0].Adjacencies < spokes && w.now < 10*time.Minute {
					w.run(time.Second)
				}
				b.ReportMetric(w.now.Seconds(), "virtual-s")
			}
		})
	}
}
