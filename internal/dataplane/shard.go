package dataplane

import (
	"maps"
	"net/netip"
	"sync/atomic"
)

// shards is a map by address that one goroutine writes and any number read without a lock. A change copies one shard
// alone, a handful of entries with ten thousand peers.
type shards[V any] [shardCount]atomic.Pointer[map[netip.Addr]V]

const shardCount = 512

func (s *shards[V]) of(a netip.Addr) *atomic.Pointer[map[netip.Addr]V] {
	return &s[hashAddr(a)%shardCount]
}

func (s *shards[V]) get(a netip.Addr) (v V) {
	if m := s.of(a).Load(); m != nil {
		v = (*m)[a]
	}
	return v
}

func (s *shards[V]) set(a netip.Addr, v V) {
	m := map[netip.Addr]V{}
	if old := s.of(a).Load(); old != nil {
		m = maps.Clone(*old)
	}
	m[a] = v
	s.of(a).Store(&m)
}

func (s *shards[V]) remove(a netip.Addr) {
	old := s.of(a).Load()
	if old == nil {
		return
	}
	m := maps.Clone(*old)
	if delete(m, a); len(m) == 0 {
		s.of(a).Store(nil) // a map keeps the room that it once had
		return
	}
	s.of(a).Store(&m)
}

func (s *shards[V]) clear() {
	for i := range s {
		s[i].Store(nil)
	}
}

// all are the values, in no order.
func (s *shards[V]) all() (list []V) {
	for i := range s {
		if m := s[i].Load(); m != nil {
			for _, v := range *m {
				list = append(list, v)
			}
		}
	}
	return list
}
