package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/router"
)

// hubCommand is the hidden command that is a router as `spokeway run` makes one, with pprof beside it: a product
// should not carry a profiler, and its memory cannot be told from outside.
const hubCommand = "router"

// runHub runs until SIGTERM.
func runHub(args []string) error {
	f := flag.NewFlagSet(hubCommand, flag.ContinueOnError)
	config := f.String("c", "", "configuration")
	socket := f.String("socket", "", "control socket")
	look := f.String("pprof", "", "socket of the profiler")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, _, err := conf.Load(*config)
	if err != nil {
		return err
	}
	log := logs.New(os.Stderr, logs.JSON) // at info, as by default
	router.CollectOften()
	r, err := router.New(router.Options{Config: c, Log: log.Logger()})
	if err != nil {
		return err
	}
	control, err := api.Listen(*socket, "")
	if err != nil {
		return err
	}
	defer control.Close()
	profiler, err := net.Listen("unix", *look)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(ctx) })
	g.Go(func() error { return api.Serve(ctx, control, api.Options{Source: r, Log: log, Version: "bench"}) })
	g.Go(func() error {
		defer context.AfterFunc(ctx, func() { profiler.Close() })()
		http.Serve(profiler, profilerMux())
		return nil
	})
	return g.Wait()
}

func profilerMux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/debug/pprof/", pprof.Index)
	m.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.HandleFunc("/live", func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		runtime.GC() // the first one's sweep is what the second one counts
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		fmt.Fprint(w, s.HeapAlloc)
	})
	m.HandleFunc("/free", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	return m
}
