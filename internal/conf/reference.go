package conf

import (
	"fmt"
	"strings"
)

// Reference is the page of all keys, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
	for _, r := range rootKeys.rows("") {
		standard := r.standard
		if standard == required {
			standard = "**required**"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.path, r.kind, standard, r.meaning)
	}
	return b.String()
}

const referenceHead = `# Configuration reference

Generated from the table of keys in ` + "`internal/conf/keys.go`" + `: change it there, then run
` + "`go test ./internal/conf -run Reference -update`" + `.

One YAML file, by default ` + "`" + DefaultPath + "`" + `. It is strict: an unknown key, a wrong type or a contradiction is an
error with its line and column, and nothing of the file is applied. ` + "`spokeway check`" + ` tells all errors and warnings
without a daemon and without root. Anchors, aliases, tags and further documents are not allowed. A duration is written as
90s, 5m or 2h, or as a number of seconds. NAME is a name of your choice, [] an item of a list.

A secret is given in place or, better, by a file (the keys that end in -file), whose path is relative to the folder
of the configuration. Such a file holds one line, the secret.

Each file in ` + "`examples/`" + ` is a whole configuration, loaded by a test.

Keys that are "not supported yet" are known and refused, so that nobody believes they work.

`
