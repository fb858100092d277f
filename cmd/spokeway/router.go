package main

import "github.com/spokeway/spokeway/internal/router"

// startRouter makes the router that `run` runs.
func startRouter(o daemonOptions) (daemon, error) {
	return router.New(router.Options(o))
}
