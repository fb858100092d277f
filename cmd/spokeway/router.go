package main

import "errors"

// startRouter makes the router that `run` runs.
func startRouter(daemonOptions) (daemon, error) {
	return nil, errors.New("this binary has no router")
}
