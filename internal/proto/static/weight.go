package static

import (
	"math"
	"slices"

	"github.com/spokeway/spokeway/internal/rib"
)

// maxPaths bounds how many next hops a route has: each may be reached by many.
const maxPaths = 64

// share is what one route gets of the traffic of several to one prefix: Weight, by whatever next hops it has.
type share struct {
	weight uint8 // 0 counts as 1
	hops   []rib.NextHop
}

// merge is the next hops of all shares, each once. A route's weight is what its next hops have together, in their own
// proportion: one that is reached by two equal paths gives each half of its share. Equal weights are left out.
func merge(shares []share) []rib.NextHop {
	var hops []rib.NextHop
	var parts []uint64
	scale := common(shares)
	for _, s := range shares {
		unit := scale / total(s.hops)
		for _, h := range s.hops {
			part := unit * weight(h.Weight) * weight(s.weight)
			h.Weight = 0
			if i := slices.Index(hops, h); i >= 0 {
				parts[i] += part
			} else if len(hops) < maxPaths {
				hops, parts = append(hops, h), append(parts, part)
			}
		}
	}
	for i, w := range fit(parts) {
		hops[i].Weight = w
	}
	return hops
}

func weight(w uint8) uint64 { return max(uint64(w), 1) }

// total is the sum of weights; 1 of nothing.
func total(hops []rib.NextHop) (sum uint64) {
	for _, h := range hops {
		sum += weight(h.Weight)
	}
	return max(sum, 1)
}

// maxScale bounds the common multiple; weights above it are exact enough.
const maxScale = 1 << 32

// common is a number that the total of each share divides, or nearly.
func common(shares []share) uint64 {
	scale := uint64(1)
	for _, s := range shares {
		t := total(s.hops)
		if scale *= t / gcd(scale, t); scale > maxScale {
			return maxScale
		}
	}
	return scale
}

// fit makes weights of parts: their least proportion in whole numbers, or the nearest where that does not fit. Zeros stand
// for equal weights.
func fit(parts []uint64) []uint8 {
	var divisor, most uint64
	for _, p := range parts {
		divisor, most = gcd(divisor, p), max(most, p)
	}
	out := make([]uint8, len(parts))
	if most == divisor {
		return out
	}
	for i, p := range parts {
		if most/divisor <= math.MaxUint8 {
			out[i] = uint8(p / divisor)
		} else {
			out[i] = uint8(max((p*math.MaxUint8+most/2)/most, 1))
		}
	}
	return out
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
