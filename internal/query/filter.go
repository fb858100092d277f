package query

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Filter keeps the rows that every filter matches. A filter is an address (matches that address, and prefixes
// that hold it), a prefix (matches itself and addresses inside) or a word (matches a whole value or a word of it).
// It is [ErrNotFound] when there are filters and no row is left.
func Filter[T any](rows []T, filters []string) ([]T, error) {
	if len(filters) == 0 {
		return rows, nil
	}
	parsed := make([]filter, len(filters))
	for i, f := range filters {
		parsed[i] = parseFilter(f)
	}
	var kept []T
	for _, r := range rows {
		v := reflect.ValueOf(r)
		if !slices.ContainsFunc(parsed, func(f filter) bool { return !f.row(v) }) {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("nothing matches %q: %w", strings.Join(filters, " "), ErrNotFound)
	}
	return kept, nil
}

// Matches reports whether a filter, as those of [Filter], matches one of the values of a row.
func Matches(f string, values ...string) bool {
	return slices.ContainsFunc(values, parseFilter(f).text)
}

type filter struct {
	word   string
	addr   netip.Addr
	prefix netip.Prefix
}

func parseFilter(s string) filter {
	f := filter{word: s}
	f.addr, _ = netip.ParseAddr(s)
	f.prefix, _ = netip.ParsePrefix(s)
	return f
}

func (f filter) row(v reflect.Value) bool {
	for _, field := range reflect.VisibleFields(v.Type()) {
		if field.IsExported() && !field.Anonymous && f.value(v.FieldByIndex(field.Index)) {
			return true
		}
	}
	return false
}

func (f filter) value(v reflect.Value) bool {
	switch x := v.Interface().(type) {
	case netip.Addr:
		return f.address(x)
	case netip.Prefix:
		return f.addr.IsValid() && x.Contains(f.addr) || f.prefix.IsValid() && x == f.prefix
	case string:
		return f.text(x)
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if f.value(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		return f.row(v)
	}
	return false
}

func (f filter) address(a netip.Addr) bool {
	return a.IsValid() && (a == f.addr || f.prefix.IsValid() && f.prefix.Contains(a))
}

// text matches a string that may also be an address, alone or with a port.
func (f filter) text(s string) bool {
	if strings.EqualFold(s, f.word) {
		return true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return f.address(a)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return f.address(ap.Addr())
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",:()", r) })
	return slices.ContainsFunc(parts, func(p string) bool { return strings.EqualFold(p, f.word) })
}
