package main

import (
	"fmt"
	"os"
	"strings"
)

// update puts what the parts printed into a document: each between its own marks, the rest stays as it is.
func update(path string, printed map[string]string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	for name, body := range printed {
		if text, err = replaceMarked(text, name, body); err != nil {
			return fmt.Errorf("update %s: %w", path, err)
		}
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// replaceMarked puts the body between <!-- bench:NAME --> and <!-- /bench:NAME -->.
func replaceMarked(text, name, body string) (string, error) {
	begin, end := "<!-- bench:"+name+" -->\n", "<!-- /bench:"+name+" -->"
	head, rest, ok := strings.Cut(text, begin)
	_, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return "", fmt.Errorf("it has no lines %q and %q", strings.TrimSpace(begin), end)
	}
	return head + begin + strings.TrimSpace(body) + "\n" + end + tail, nil
}
