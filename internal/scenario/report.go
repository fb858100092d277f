package scenario

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Progress makes a reporter that tells the story on w while it runs.
func Progress(w io.Writer) func(Result) {
	return func(r Result) {
		if r.Outcome == Skipped && r.Detail == "an earlier step failed" {
			return
		}
		if r.Say != "" {
			fmt.Fprintf(w, "\n%s\n", r.Say)
		}
		fmt.Fprintf(w, "  %s  %-44s %8s", r.Outcome, r.Title, short(r.Took))
		if r.Outcome != Fail && r.Detail != "" {
			fmt.Fprintf(w, "  %s", r.Detail)
		}
		fmt.Fprintln(w)
		if r.Outcome == Fail {
			printFailure(w, r)
		}
	}
}

func printFailure(w io.Writer, r Result) {
	for line := range strings.Lines(r.Detail + "\n") {
		fmt.Fprint(w, "        "+line)
	}
	if len(r.Log) > 0 {
		fmt.Fprintln(w, "        what the nodes said last:")
	}
	for _, line := range r.Log {
		fmt.Fprintln(w, "          "+line)
	}
}

// Table prints the results as a table.
func (s Summary) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STEP\tWHAT\tRESULT\tTOOK\tDETAIL")
	for _, r := range s.Results {
		detail, _, _ := strings.Cut(r.Detail, "\n")
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", r.Step, r.Title, r.Outcome, short(r.Took), cut(detail, 100))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s in the %s: %s\n", s.Name, s.World, s.verdict())
	return err
}

func (s Summary) verdict() string {
	verdict := "PASS"
	if !s.OK() {
		verdict = "FAIL"
	}
	return fmt.Sprintf("%s, %d passed, %d failed, %d skipped, %s", verdict, s.Count(Pass), s.Count(Fail), s.Count(Skipped), short(s.Took))
}

// short prints a duration as people read it.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// MarshalJSON adds the verdict; times are seconds.
func (s Summary) MarshalJSON() ([]byte, error) {
	type plain Summary
	return json.Marshal(struct {
		plain
		OK      bool    `json:"ok"`
		Passed  int     `json:"passed"`
		Failed  int     `json:"failed"`
		Skipped int     `json:"skipped"`
		Seconds float64 `json:"seconds"`
	}{plain(s), s.OK(), s.Count(Pass), s.Count(Fail), s.Count(Skipped), s.Took.Seconds()})
}

// MarshalJSON has times in seconds.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	return json.Marshal(struct {
		plain
		At   float64 `json:"at"`
		Took float64 `json:"seconds"`
	}{plain(r), r.At.Seconds(), r.Took.Seconds()})
}
