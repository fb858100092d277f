package main

import "github.com/spokeway/spokeway/internal/router"

// startRouter makes the router that `run` runs.
func startRouter(o daemonOptions) (daemon, error) {
	router.CollectOften()
	return router.New(router.Options(o))
}
