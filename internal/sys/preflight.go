package sys

import "fmt"

// Preflight says why this process cannot make tunnels at all, and what to do about it; nil when it can.
func Preflight() error {
	for _, c := range []Check{checkCapabilities(), checkTUN()} { // who lacks both is not helped by a chmod
		if c.Status == Fail {
			return fmt.Errorf("%s: %s: %s", c.Name, c.Detail, c.Remedy)
		}
	}
	return nil
}
