package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spokeway/spokeway/internal/query"
)

// MetricsHandler answers a scrape with the metrics of package query and those of the process.
func MetricsHandler(src query.Source, version string) http.Handler {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spokeway_build_info", Help: "1; the labels say what is running",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	info.Set(1)
	reg.MustRegister(info, query.NewCollector(src), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: answerTimeout})
}

// ListenMetrics opens the metrics address, so that a taken one is an error before anything runs.
func ListenMetrics(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics on %s: %w", addr, rootCause(err))
	}
	return l, nil
}

// ServeMetrics answers GET /metrics until ctx ends.
func ServeMetrics(ctx context.Context, l net.Listener, src query.Source, version string) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(src, version))
	h := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout,
		WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	defer context.AfterFunc(ctx, func() { h.Close() })()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics on %s: %w", l.Addr(), err)
	}
	return nil
}
