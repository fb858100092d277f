// Package query turns snapshots of a running router into text, JSON and metrics.
//
// A snapshot is a slice of plain structs, one per row. Three printers read it, so they cannot disagree: [Table]
// for people, [JSON] for programs, [Collector] for Prometheus. The commands that people type are rows of one
// table, [Commands]; words, unique prefixes, the words of IOS, help, completion and the reference come from it.
//
//	source.go    what a router must answer, and the rows that belong to no protocol
//	command.go   the table of commands
//	match.go     typed words to a command
//	print.go     the table and JSON printers
//	column.go    how a field becomes a column and a cell
//	explain.go   why a destination takes its route
//	metrics.go   the metrics and their collector
//
// Nothing here talks to a daemon or opens a file; package api does.
package query
