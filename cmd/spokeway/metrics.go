package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/query"
)

// scrapes is where metrics are served. The address follows the configuration.
type scrapes struct {
	mu       sync.Mutex
	addr     string // "" is nowhere
	listener net.Listener
	serve    func(net.Listener) // nil before the router runs
	ended    bool
}

// listen moves to another address. With an error everything stays as it was.
func (s *scrapes) listen(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if addr == s.addr || s.ended {
		return nil
	}
	l, err := listenMetrics(addr)
	if err != nil && s.listener != nil { // it may be our own that has it, as :9273 has 127.0.0.1:9273
		s.listener.Close()
		if l, err = listenMetrics(addr); err != nil {
			s.listener, _ = listenMetrics(s.addr)
			s.begin()
		}
	}
	if err != nil {
		return err
	}
	s.close()
	s.addr, s.listener = addr, l
	s.begin()
	return nil
}

// listenMetrics is nil when nobody wants metrics.
func listenMetrics(addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	return api.ListenMetrics(addr)
}

func (s *scrapes) begin() {
	if s.serve != nil && s.listener != nil {
		go s.serve(s.listener)
	}
}

func (s *scrapes) close() {
	if s.listener != nil {
		s.listener.Close()
	}
	s.listener = nil
}

// run serves the metrics of a router until ctx ends.
func (s *scrapes) run(ctx context.Context, src query.Source, version string, log *slog.Logger) {
	s.mu.Lock()
	s.serve = func(l net.Listener) {
		if err := api.ServeMetrics(ctx, l, src, version); err != nil && !errors.Is(err, net.ErrClosed) {
			log.Error("metrics.failed", "cause", err)
		}
	}
	s.begin()
	s.mu.Unlock()
	<-ctx.Done()
	s.end()
}

// end is for good.
func (s *scrapes) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.close()
}
