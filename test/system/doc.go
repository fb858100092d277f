// Package system drives the real program as its user does: the daemon in network namespaces, the command line beside it.
//
// The test binary runs itself again in process, mount and network namespaces of its own (see main_test.go). Whatever
// happens, the kernel takes all of it away with the last process.
//
//	main_test.go     the enclosure, the program under test
//	world_test.go    an underlay, hosts on it, and what was captured there
//	daemon_test.go   a daemon and the command line that asks it
//	raw_test.go      packets of one's own making
//	*_test.go        the cases, a file per subject
//
// It needs root, /dev/net/tun, iproute2, ping, tcpdump and tshark.
package system
