// Package scenario is a small network and a story told in it: nodes, the networks between them, and steps that
// do something or expect something.
//
// One file serves two worlds. Package lab plays it with real processes in network namespaces and in real time;
// package sim plays it on a virtual clock. Both implement [World]; [Run] is the same for both.
//
//	file.go    what a file says: networks, nodes, addresses
//	parse.go   YAML to [File]; every mistake is told with line and column
//	check.go   what must hold between the parts of a file
//	yaml.go    a strict reader of YAML trees
//	step.go    steps and their verbs
//	match.go   conditions on JSON rows
//	ping.go    probes, what they ask and what came of them
//	world.go   what a world can do
//	run.go     the step runner
//	report.go  the story while it runs, and the table at its end
//
// Left out: loops, variables and branches. A file is read from top to bottom, and the first step that fails ends it.
package scenario
