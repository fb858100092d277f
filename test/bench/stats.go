package main

import (
	"fmt"
	"math"
	"slices"
)

// median of the values; NaN of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// percentile is the least value that at least p percent of the values do not exceed; NaN of none.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	i := int(math.Ceil(p/100*float64(len(s)))) - 1
	return s[min(max(i, 0), len(s)-1)]
}

// spread is a median with the least and the greatest.
type spread struct{ Median, Min, Max float64 }

func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	return spread{median(v), slices.Min(v), slices.Max(v)}
}

func (s spread) valid() bool { return !math.IsNaN(s.Median) }

// String is the spread to three digits; a dash when there is none.
func (s spread) String() string {
	if !s.valid() {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits prints three significant digits without an exponent.
func digits(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", f)
	case a >= 10:
		return fmt.Sprintf("%.1f", f)
	case a >= 0.1 || a == 0:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.3f", f)
}

// rounds holds what was measured: a metric's values for a system, round by round. What failed is NaN.
type rounds map[string]map[string][]float64

func (r rounds) add(metric, system string, v float64) {
	if r[metric] == nil {
		r[metric] = map[string][]float64{}
	}
	r[metric][system] = append(r[metric][system], v)
}

// ratios are those of a system to the reference, round by round, where both were measured.
func (r rounds) ratios(metric, system, reference string) (v []float64) {
	a, b := r[metric][system], r[metric][reference]
	for i := range min(len(a), len(b)) {
		if q := a[i] / b[i]; !math.IsNaN(q) && !math.IsInf(q, 0) {
			v = append(v, q)
		}
	}
	return v
}

// values are those that were measured.
func (r rounds) values(metric, system string) []float64 {
	return slices.DeleteFunc(slices.Clone(r[metric][system]), math.IsNaN)
}

// inTurn is the order of a round: forward, then backward, and so on.
func inTurn[T any](systems []T, round int) []T {
	order := slices.Clone(systems)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}
