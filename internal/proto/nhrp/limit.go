package nhrp

import "time"

// maxBuckets bounds the peers a limiter tells apart; further ones share one bucket.
const maxBuckets = 16384

// limiter is a token bucket per peer.
type limiter struct {
	rate    Rate
	buckets map[place]bucket
	rest    bucket
	swept   time.Duration
}

type bucket struct {
	tokens float64
	at     time.Duration
}

// DefaultRate is generous to a regional hub that forwards for hundreds of spokes, and far below what it takes to keep
// a router from its other peers.
var DefaultRate = Rate{PerSecond: 200, Burst: 400}

func newLimiter(r Rate) limiter {
	if r.PerSecond <= 0 {
		r = DefaultRate
	}
	return limiter{rate: r, buckets: map[place]bucket{}}
}

// allow takes one token of the peer's bucket; false when there is none.
func (l *limiter) allow(now time.Duration, peer place) bool {
	if now-l.swept >= sweepInterval {
		l.sweep(now)
	}
	b, known := l.buckets[peer]
	if !known && len(l.buckets) >= maxBuckets && !l.sweep(now) {
		return l.take(&l.rest, now)
	}
	if !known {
		b = bucket{tokens: float64(l.rate.Burst), at: now}
	}
	ok := l.take(&b, now)
	l.buckets[peer] = b
	return ok
}

func (l *limiter) take(b *bucket, now time.Duration) bool {
	b.tokens = min(float64(l.rate.Burst), b.tokens+(now-b.at).Seconds()*float64(l.rate.PerSecond))
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sweepInterval is how long a quiet peer may be remembered: spokes register every few minutes or hours.
const sweepInterval = time.Minute

// sweep forgets the buckets that have filled again, at most once a second; false when there is no room after it. What
// stays moves to a new map, as a map that was large once never shrinks.
func (l *limiter) sweep(now time.Duration) bool {
	if now-l.swept < time.Second {
		return false
	}
	l.swept = now
	refill := time.Duration(float64(l.rate.Burst) / float64(l.rate.PerSecond) * float64(time.Second))
	kept := map[place]bucket{}
	for peer, b := range l.buckets {
		if now-b.at <= refill {
			kept[peer] = b
		}
	}
	l.buckets = kept
	return len(kept) < maxBuckets
}
