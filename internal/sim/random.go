package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// secrets is the randomness that a node makes its keys of: the same for one seed of the world and one start of the node.
func (w *World) secrets(n *Node) *rand.ChaCha8 {
	var seed [32]byte
	r := w.chance("secrets of " + n.Name + " " + strconv.Itoa(n.boots))
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], r.Uint64())
	}
	return rand.NewChaCha8(seed)
}
