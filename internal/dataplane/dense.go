package dataplane

import "sync/atomic"

// dense is a table by number that one goroutine writes and any number read without a lock. Only the low bits of a number
// count, and they are given out from 0 on, so what is held is small; who looks up compares the whole number.
type dense[V any] struct {
	chunks atomic.Pointer[[]*chunk[V]]
}

const (
	indexBits = 20 // of an SPI or of a handle, which place it; the rest are chance, or the place's generation
	chunkBits = 8
	indexMask = 1<<indexBits - 1
	chunkMask = 1<<chunkBits - 1
)

type chunk[V any] struct {
	slots [1 << chunkBits]atomic.Pointer[V]
	used  int // the writer's own
}

// get is what is at n's place, nil when nothing is.
func (d *dense[V]) get(n uint32) *V {
	c := d.chunk(n)
	if c == nil {
		return nil
	}
	return c.slots[n&chunkMask].Load()
}

func (d *dense[V]) chunk(n uint32) *chunk[V] {
	chunks, at := d.chunks.Load(), int(n&indexMask>>chunkBits)
	if chunks == nil || at >= len(*chunks) {
		return nil
	}
	return (*chunks)[at]
}

func (d *dense[V]) set(n uint32, v *V) {
	c := d.chunk(n)
	if c == nil {
		c = new(chunk[V])
		d.put(n, c)
	}
	if c.slots[n&chunkMask].Swap(v) == nil {
		c.used++
	}
}

// remove empties n's place, and gives a chunk back that is empty.
func (d *dense[V]) remove(n uint32) {
	c := d.chunk(n)
	if c == nil || c.slots[n&chunkMask].Swap(nil) == nil {
		return
	}
	if c.used--; c.used == 0 {
		d.put(n, nil)
	}
}

// put is the only change of the list of chunks, and makes a new one.
func (d *dense[V]) put(n uint32, c *chunk[V]) {
	var old []*chunk[V]
	if p := d.chunks.Load(); p != nil {
		old = *p
	}
	at := int(n & indexMask >> chunkBits)
	chunks := make([]*chunk[V], max(len(old), at+1))
	copy(chunks, old)
	chunks[at] = c
	d.chunks.Store(&chunks)
}

func (d *dense[V]) clear() { d.chunks.Store(nil) }

// all are the values, in order of place.
func (d *dense[V]) all() (list []*V) {
	chunks := d.chunks.Load()
	if chunks == nil {
		return nil
	}
	for _, c := range *chunks {
		if c == nil {
			continue
		}
		for i := range c.slots {
			if v := c.slots[i].Load(); v != nil {
				list = append(list, v)
			}
		}
	}
	return list
}
