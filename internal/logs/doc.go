// Package logs is where the router's log records go: to one writer as logfmt or JSON, and to whoever monitors.
//
// A record is an event with a stable name and attributes; those named tunnel and peer say what it is about. The
// level decides what is written; records about a peer that is being debugged are written whatever their level.
//
//	log.go        the level, the debugged peers, the slog handler
//	event.go      a record as a value, and filters for it
//	subscribe.go  bounded queues for monitors
package logs
