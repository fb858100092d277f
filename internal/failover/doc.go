// Package failover breaks the networks of examples/lab, mends them, and tells what that cost those who used them: one
// story for the virtual clock of package sim and for the real processes of package lab.
//
//	networks.go  the networks: who talks in them, what their kernels must have, what fails
//	run.go       a failure and its repair in a world that is up
//
// Left out: failures of hosts and of their LANs, which no router can help.
package failover
