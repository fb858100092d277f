package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/query"
)

// daemon is a router as this command runs it.
type daemon interface {
	query.Source
	// Run forwards until ctx ends, then says goodbye to its peers and returns.
	Run(ctx context.Context) error
}

// daemonOptions is what a router starts from.
type daemonOptions struct {
	Config *conf.Config
	Load   func() (*conf.Config, error) // for reload
	Log    *slog.Logger
	State  string                  // folder of what is kept over restarts
	KeyLog func(file, line string) // of a laboratory, else nil
	Worker []string                // command of a process for BFD
}

// runFlags are the flags of `run`.
type runFlags struct {
	group, state        string
	logLevel, logFormat string
	noSandbox           bool
}

// goodbye is how long a stopping router may take before it is left.
const goodbye = 5 * time.Second

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "run the router in the foreground",
		Long: "Run the router in the foreground. The configuration is checked first: with an error in it nothing is touched and\n" +
			"the exit code is 6. SIGHUP reloads it; SIGTERM and SIGINT say goodbye to the peers and end.\n" +
			"Once it runs, the process gives up the rights that it needs no more: capabilities, other programs, most files.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c.Context(), f) },
	}
	c.Flags().StringVar(&f.group, "group", "", "give the control socket to this `GROUP` (default \""+api.DefaultGroup+"\" where it exists)")
	c.Flags().StringVar(&f.state, "state", conf.DefaultState, "keep what must survive a restart in this `FOLDER`")
	c.Flags().StringVar(&f.logLevel, "log-level", "", "log this `LEVEL` and above: debug, info, warn or error (default: the configuration's)")
	c.Flags().StringVar(&f.logFormat, "log-format", "", "write logs as `FORMAT`: auto, logfmt or json (default: the configuration's)")
	c.Flags().BoolVar(&f.noSandbox, "no-sandbox", false, "keep all rights of the process, for containers that forbid to give them up")
	return c
}

func (a *app) run(ctx context.Context, f runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := a.harden(); err != nil && !f.noSandbox { // before the first key is read
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before anything else: unheard it would end us
	defer signal.Stop(hangup)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends us at once
	c, warnings, err := conf.Load(a.config)
	if err != nil {
		return &exitError{exitCheck, err}
	}
	if err := a.able(); err != nil {
		return err
	}
	r := &reloader{path: a.config, flags: f, log: openLog(a.err, c.Log, f)}
	r.accept(c, warnings)
	socket, err := api.Listen(a.socket, f.group)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := r.metrics.listen(c.Metrics); err != nil {
		return err
	}
	defer r.metrics.end()
	folders, err := sandbox(a.config, a.socket, f.state, c)
	if err != nil {
		return err
	}
	keyLog, err := openKeyLog(r.log.Logger())
	if err != nil {
		return err
	}
	d, err := a.start(daemonOptions{Config: c, Load: r.load, Log: r.log.Logger(), State: f.state, KeyLog: keyLog, Worker: worker()})
	if err != nil {
		return err
	}
	if err := a.confine(folders, f, r); err != nil {
		return err
	}
	return serve(ctx, d, r, socket, hangup)
}

func (f runFlags) check() error {
	if f.logLevel != "" {
		if _, err := logs.ParseLevel(f.logLevel); err != nil {
			return usagef("--log-level: %w", err)
		}
	}
	switch f.logFormat {
	case "", "auto", string(logs.Logfmt), string(logs.JSON):
		return nil
	}
	return usagef("--log-format %s: want auto, logfmt or json", f.logFormat)
}

// openLog makes the log: logfmt on a terminal, JSON elsewhere, unless told. Flags go before the configuration.
func openLog(w io.Writer, c conf.Log, f runFlags) *logs.Log {
	format := logs.Format(cmp.Or(f.logFormat, c.Format))
	if format != logs.Logfmt && format != logs.JSON {
		format = logs.JSON
		if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			format = logs.Logfmt
		}
	}
	return logs.New(w, format)
}

// reloader reads the configuration again and lets the log and the metrics follow it.
type reloader struct {
	path    string
	flags   runFlags
	log     *logs.Log
	metrics scrapes

	confined bool // to the folders of the configuration we started with

	mu    sync.Mutex
	debug []string // peers that the configuration debugs
}

func (r *reloader) load() (*conf.Config, error) {
	c, warnings, err := conf.Load(r.path)
	if err != nil && r.confined && strings.Contains(err.Error(), fs.ErrPermission.Error()) {
		err = fmt.Errorf("%w\na running router reads the folders that its configuration named when it started: put the file there, or restart", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", query.ErrConfig, err)
	}
	if err := r.metrics.listen(c.Metrics); err != nil {
		return nil, err
	}
	r.accept(c, warnings)
	return c, nil
}

// accept tells the warnings and applies what concerns the log. Peers debugged by command stay so.
func (r *reloader) accept(c *conf.Config, warnings []conf.Warning) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if level, err := logs.ParseLevel(cmp.Or(r.flags.logLevel, c.Log.Level)); err == nil {
		r.log.SetLevel(level)
	}
	for _, peer := range r.debug {
		r.log.Debug(peer, false)
	}
	for _, peer := range c.Log.Debug {
		r.log.Debug(peer, true)
	}
	r.debug = c.Log.Debug
	for _, w := range warnings {
		r.log.Logger().Warn("config.warning", "at", w.String())
	}
}

// serve runs the router and its listeners until ctx ends, or one of them.
func serve(ctx context.Context, d daemon, r *reloader, socket net.Listener, hangup <-chan os.Signal) error {
	log, v := r.log, thisVersion().Version
	log.Logger().Info("daemon.started", "version", v, "pid", os.Getpid())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return orEnd(d.Run(ctx)) })
	g.Go(func() error {
		return orEnd(api.Serve(ctx, socket, api.Options{Source: d, Log: log, Version: v}))
	})
	g.Go(func() error {
		r.metrics.run(ctx, d, v, log.Logger())
		return nil
	})
	g.Go(func() error { return reloadOnHangup(ctx, d, log.Logger(), hangup) })
	err := wait(ctx, g)
	log.Logger().Info("daemon.stopped")
	return err
}

var errEnded = errors.New("ended")

// orEnd makes the end of one part the end of all.
func orEnd(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// wait is g.Wait that gives up on what does not end in time.
func wait(ctx context.Context, g *errgroup.Group) error {
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	<-ctx.Done()
	select {
	case err := <-ended:
		if errors.Is(err, errEnded) || errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	case <-time.After(goodbye):
		return fmt.Errorf("stop: not done within %s", goodbye)
	}
}

func reloadOnHangup(ctx context.Context, d daemon, log *slog.Logger, hangup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		changes, err := d.Reload(ctx)
		if err != nil {
			log.Error("config.refused", "cause", err)
			continue
		}
		log.Info("config.reloaded", "changes", len(changes))
	}
}
