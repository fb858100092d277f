package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Change is one thing that differs between two configurations. Old is "" when it is new, New when it is gone.
// Secrets are not told, only that they changed.
type Change struct {
	Path     string // "tunnels.tun100.nhrp.holdtime"
	Old, New string
}

func (c Change) String() string {
	switch {
	case c.Old == "":
		return "added " + c.Path + short(c.New)
	case c.New == "":
		return "removed " + c.Path + short(c.Old)
	case c.Old == c.New:
		return "changed " + c.Path
	}
	return fmt.Sprintf("changed %s: %s to %s", c.Path, c.Old, c.New)
}

// short leaves out what is longer than a line has room for.
func short(value string) string {
	if strings.HasPrefix(value, "{") {
		return ""
	}
	return ": " + value
}

// Diff is what changes from old to new, in order of path.
func Diff(old, new *Config) []Change {
	out := diffNodes("", rootKeys.write(old), rootKeys.write(new))
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func diffNodes(path string, old, new *node) []Change {
	if before, after := old.children(), new.children(); len(before) > 0 && len(after) > 0 || listed(old) || listed(new) {
		out := diffChildren(path, before, after)
		if listed(old) && listed(new) {
			out = append(out, reordered(path, before, after)...)
		}
		return out
	}
	c := Change{Path: path, Old: old.brief(), New: new.brief()}
	if c.Old == c.New && old.hidden == new.hidden {
		return nil
	}
	return []Change{c}
}

func diffChildren(path string, old, new []pair) []Change {
	var out []Change
	for _, o := range old {
		out = append(out, diffNodes(child(path, o.key), o.value, find(new, o.key))...)
	}
	for _, n := range new {
		if find(old, n.key) == nil {
			out = append(out, diffNodes(child(path, n.key), nil, n.value)...)
		}
	}
	return out
}

// mostOrdered is how many labels of a list are told when their order changes.
const mostOrdered = 8

// reordered tells that the items which stay are in another order: of keys the first is sent with, of a list of matches the
// first decides.
func reordered(path string, old, new []pair) []Change {
	before, after := staying(old, new), staying(new, old)
	switch {
	case slices.Equal(before, after):
		return nil
	case len(before) > mostOrdered:
		return []Change{{Path: path, Old: "the order", New: "another"}}
	}
	return []Change{{Path: path, Old: "the order " + strings.Join(before, ", "), New: strings.Join(after, ", ")}}
}

// staying are the labels of a list that are in the other too.
func staying(list, other []pair) (labels []string) {
	there := map[string]bool{}
	for _, p := range other {
		there[p.key] = true
	}
	for _, p := range list {
		if there[p.key] {
			labels = append(labels, strings.Trim(p.key, "[]"))
		}
	}
	return labels
}

func child(path, key string) string {
	if strings.HasPrefix(key, "[") {
		return path + key
	}
	return join(path, key)
}

func find(pairs []pair, key string) *node {
	for _, p := range pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// listed tells a list of mappings: all of its items are told when it comes or goes.
func listed(n *node) bool { return n != nil && n.kind != mapping && len(n.children()) > 0 }

// children are the pairs of a mapping, or the items of a list of mappings by their labels.
func (n *node) children() []pair {
	if n == nil {
		return nil
	}
	if n.kind == mapping {
		return n.pairs
	}
	var out []pair
	seen := map[string]int{}
	for _, item := range n.items {
		if item.kind != mapping {
			return nil
		}
		key := item.label
		if seen[key]++; seen[key] > 1 {
			key = fmt.Sprintf("%s #%d", key, seen[key])
		}
		out = append(out, pair{key: "[" + key + "]", value: item})
	}
	return out
}

// brief is the node in one line, without secrets.
func (n *node) brief() string {
	if n == nil {
		return ""
	}
	return (&printer{redact: true}).flow(n)
}
