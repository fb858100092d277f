// Package conf reads the configuration: YAML to typed, checked values, and back.
//
// A table of keys (keys.go) says of every key what it may be, what it is without being written, and what it is for.
// Reading, printing, the difference of two configurations and the reference page all come from that table, so they
// cannot disagree. Text becomes nodes, nodes become a [Config] with every default filled in, and only then are the
// contradictions between keys looked for. All errors of a file are told at once, each with its line and column; with
// an error there is no Config. A key that is known and not built yet is an error as well: nobody shall believe that
// a tunnel is protected when it is not.
//
// Files are not trusted. Their size, line length, nesting and number of keys are bounded; anchors, aliases and tags
// are refused. Passwords appear in no error, no difference and no [Config.Redacted] print.
//
//	load.go         files and secrets
//	node.go         YAML text to nodes, within bounds
//	schema.go       what a table of keys is made of: how it is read, printed and explained
//	scalars.go      the kinds of single values: numbers, durations, addresses, …
//	keys.go         the tables of keys; profilekeys.go those of profiles
//	values.go       what is particular about single keys
//	secrets.go      values that are never printed, and files
//	profile.go      what keys of profiles come to: pre-shared keys, certificates, suites
//	check.go        contradictions: addresses, tunnels, servers
//	checkroutes.go  contradictions: static routes
//	checkprotect.go contradictions: protected tunnels
//	print.go        nodes to YAML text
//	diff.go         what changes from one configuration to another
//	reference.go    the reference page
//	types.go        the configuration itself
//	errors.go       errors, warnings, suggestions
//
// Left out: reading IOS, VyOS and FRR configurations, which is for another package.
package conf
