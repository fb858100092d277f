package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/router"
)

// source is a simulated router as its operator sees it.
type source struct {
	router.View
	node *Node
}

var _ query.Source = source{}

func (p *process) source() source {
	p.run() // what has come by now is part of what is seen
	links := map[string]core.Link{}
	for _, i := range p.node.interfaces {
		links[i.Name] = i.state()
	}
	return source{router.View{
		Loop: p.loop, Modules: p.modules, Running: p.node.config, Plane: p.plane, Links: links,
	}, p.node}
}

// Reload has nothing to read again: a scenario brings its configurations itself.
func (s source) Restart(context.Context) error {
	return errors.New("a simulated router is restarted by the scenario")
}

func (s source) Reload(context.Context) ([]string, error) {
	return nil, notHere("reload without a configuration")
}

// Capture has no data path to look at while it runs: simulated packets are in the trace.
func (s source) Capture(context.Context, capture.Request, io.Writer) error { return notHere("capture") }

// Show is the JSON a router answers to a command.
func (s *Stage) Show(node string, args []string) ([]byte, error) {
	n, err := s.running(node)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	rows, err := n.router.source().answer(args)
	if err != nil {
		return nil, err
	}
	err = query.JSON(&out, rows)
	return out.Bytes(), err
}

// answer does what the daemon does for a typed command.
func (s source) answer(args []string) (any, error) {
	switch {
	case len(args) == 2 && args[0] == "why":
		return s.Why(args[1])
	case len(args) > 1 && args[0] == "show":
		c, rest, err := query.Match("show", query.Shows(), args[1:])
		if err != nil {
			return nil, err
		}
		return c.Snapshot(s, rest)
	}
	return nil, fmt.Errorf("%v: not in simulation", args)
}
