package wire

// Bounds of a [Reassembly], well above a chain of certificates in fragments for the smallest path.
const (
	MaxFragments   = 128
	MaxReassembled = 48 << 10 // octets
)

// Reassembly collects the decrypted fragments of one message, RFC 7383 section 2.6. The zero value is ready.
type Reassembly struct {
	parts    [][]byte // by number - 1; nil while missing
	received int
	size     int
	first    PayloadType
}

// Wants reports whether the fragment is worth decrypting: its numbers are valid, it is not here yet, and it is not
// of an older fragmentation of the message.
func (r *Reassembly) Wants(number, total uint16) bool {
	if number == 0 || number > total || total > MaxFragments || int(total) < len(r.parts) {
		return false
	}
	return int(total) > len(r.parts) || r.parts[number-1] == nil
}

// Add takes one fragment, of which it keeps a copy, and ignores what [Reassembly.Wants] does not want. A larger total
// is a new fragmentation and discards the fragments of the old one. With the last missing fragment it returns the inner
// payloads and the type of the first of them, for [ParseInner], and is empty again. A message above the bound is given up.
// Only authenticated fragments may come here.
func (r *Reassembly) Add(number, total uint16, inner PayloadType, plain []byte) (done []byte, first PayloadType, ok bool) {
	if !r.Wants(number, total) {
		return nil, NoPayload, false
	}
	if int(total) > len(r.parts) {
		r.Clear()
		r.parts = make([][]byte, total)
	}
	if r.size+len(plain) > MaxReassembled {
		r.Clear()
		return nil, NoPayload, false
	}
	r.parts[number-1] = append(make([]byte, 0, len(plain)), plain...)
	r.received, r.size = r.received+1, r.size+len(plain)
	if number == 1 {
		r.first = inner
	}
	if r.received < len(r.parts) {
		return nil, NoPayload, false
	}
	return r.join()
}

func (r *Reassembly) join() ([]byte, PayloadType, bool) {
	whole := make([]byte, 0, r.size)
	for _, part := range r.parts {
		whole = append(whole, part...)
	}
	first := r.first
	r.Clear()
	return whole, first, true
}

// Clear forgets all fragments, and wipes them.
func (r *Reassembly) Clear() {
	for _, part := range r.parts {
		clear(part)
	}
	*r = Reassembly{}
}
