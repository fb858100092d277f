package sys

import (
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newStore(t *testing.T, dir string, log *strings.Builder) *store {
	s := openStore(dir, slog.New(slog.NewTextHandler(log, nil)))
	go s.run()
	return s
}

func TestStoreSurvives(t *testing.T) {
	var log strings.Builder
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	s := newStore(t, dir, &log)
	s.set("nhrp/request", "7")
	s.set("nhrp/gone", "1")
	s.set("nhrp/request", "8")
	s.set("nhrp/gone", "")
	if err := s.close(time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.close(time.Second); err != nil {
		t.Fatal("twice:", err)
	}
	s = newStore(t, dir, &log)
	defer s.close(time.Second)
	if got, want := s.all(), map[string]string{"nhrp/request": "8"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".state-*"))
	if len(left) > 0 || log.Len() > 0 {
		t.Errorf("left behind %v, logged %q", left, &log)
	}
}

func TestStoreStartsAfreshFromWhatItCannotRead(t *testing.T) {
	for _, content := range []string{"", "{", `{"version": 9, "values": {"a": "b"}}`, "\x00\xff"} {
		var log strings.Builder
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, dir, &log)
		if len(s.all()) > 0 || !strings.Contains(log.String(), "starting afresh") {
			t.Errorf("%q: %v, logged %q", content, s.all(), &log)
		}
		s.set("a", "c")
		s.close(time.Second)
		if again, err := readState(s.path); err != nil || again["a"] != "c" {
			t.Errorf("%q: %v %v", content, again, err)
		}
	}
}

func TestStoreSaysWhenItCannotWrite(t *testing.T) {
	var log strings.Builder
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	s := newStore(t, filepath.Join(file, "below"), &log)
	s.set("a", "b")
	if err := s.close(time.Second); err == nil || !strings.Contains(err.Error(), s.path) {
		t.Errorf("error %v", err)
	}
}

func TestQueueKeepsOrderAndEndsItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[int]()
		var got []int
		go q.serve(func(items []int) {
			time.Sleep(time.Millisecond)
			got = append(got, items...)
		})
		for i := range 100 {
			q.put(i)
		}
		q.finish(time.Second)
		q.put(100)
		for i, v := range got {
			if i != v {
				t.Fatalf("%d at %d", v, i)
			}
		}
		if len(got) != 100 {
			t.Errorf("%d items", len(got))
		}
	})
}

func TestPoolRunsAllButFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool{limit: 3}
		var mu sync.Mutex
		now, most, all := 0, 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
			all += max(n, 0)
		}
		for range 20 {
			p.run(func() {
				count(1)
				time.Sleep(time.Millisecond)
				count(-1)
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if all != 20 || most != 3 || p.running != 0 {
			t.Errorf("ran %d, at most %d at once, %d still running", all, most, p.running)
		}
	})
}

func TestWorkThatPanicsIsAnError(t *testing.T) {
	if err, ok := guard(func() any { panic("no") }).(error); !ok || !strings.Contains(err.Error(), "no") {
		t.Errorf("%v", err)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify(Ready, StatusLine("2 tunnels")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _ := l.Read(b)
	if got := string(b[:n]); got != "READY=1\nSTATUS=2 tunnels\n" {
		t.Errorf("%q", got)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Error("without systemd:", err)
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"nonsense", "", 0}, {"30000000", "", 15 * time.Second},
		{"30000000", "1", 0}, {"30000000", strconv.Itoa(os.Getpid()), 15 * time.Second},
	} {
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		if got := WatchdogInterval(); got != tt.want {
			t.Errorf("%q %q: %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
	}
}

func TestEnableForwarding(t *testing.T) {
	pair(t, "sq0", "sq1")
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := writeSysctl(path, "0"); err != nil {
			t.Skip("needs a writable /proc/sys: ", err)
		}
	}
	if err := writeSysctl("ipv6/conf/sq0/accept_ra", "1"); err != nil {
		t.Fatal(err)
	}
	if err := EnableForwarding(false); err != nil || readSysctl("ipv4/ip_forward") != "1" || readSysctl("ipv6/conf/all/forwarding") != "0" {
		t.Errorf("IPv4 only: %v", err)
	}
	if err := EnableForwarding(true); err != nil || readSysctl("ipv6/conf/all/forwarding") != "1" || readSysctl("ipv6/conf/sq0/accept_ra") != "2" {
		t.Errorf("IPv6: %v, accept_ra %s", err, readSysctl("ipv6/conf/sq0/accept_ra"))
	}
}
