// Command spokeway turns a Linux host into a hub or a spoke of a dynamic multipoint VPN, and asks a running one.
//
//	main.go, root.go  the tree of commands, flags, words cut short
//	exit.go           exit codes, and errors as people read them
//	run.go            the daemon: configuration, logs, sockets, signals
//	show.go, ….go     one file per command
//	docs.go           the reference and the man page, generated from the tree
package main

import "os"

func main() {
	a := newApp(os.Stdout, os.Stderr)
	os.Exit(a.main(os.Args[1:]))
}
