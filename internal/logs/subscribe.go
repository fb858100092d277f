package logs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	queueLength = 512 // events kept for a reader that is behind
	maxReaders  = 16
)

// ErrTooMany says that there are as many readers as there may be.
var ErrTooMany = errors.New("too many monitors at once")

// Subscription is one reader's queue. Events that do not fit are counted and told.
type Subscription struct {
	log    *Log
	filter Filter
	ready  chan struct{} // holds a token while there is something to take

	mu    sync.Mutex
	queue []Event
	lost  int
}

// Subscribe starts a queue of the events that match f. Close it when done.
func (l *Log) Subscribe(f Filter) (*Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subs) >= maxReaders {
		return nil, ErrTooMany
	}
	s := &Subscription{log: l, filter: f, ready: make(chan struct{}, 1)}
	l.subs[s] = true
	l.settle()
	return s, nil
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	delete(s.log.subs, s)
	s.log.settle()
}

// Next waits for events and takes all there are. Where some were lost, an event with Lost set follows the last
// one that was kept before them.
func (s *Subscription) Next(ctx context.Context) ([]Event, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ready:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.queue
	if s.lost > 0 {
		events = append(events, Event{Time: time.Now(), Level: "warn", Event: "monitor.lost", Lost: s.lost})
	}
	s.queue, s.lost = nil, 0
	return events, nil
}

// publish never blocks: a full queue counts the event as lost.
func (l *Log) publish(h handler, r slog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subs) == 0 {
		return
	}
	e := h.event(r)
	for s := range l.subs {
		if s.filter.match(e) {
			s.put(e)
		}
	}
}

func (s *Subscription) put(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) < queueLength {
		s.queue = append(s.queue, e)
	} else {
		s.lost++
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
