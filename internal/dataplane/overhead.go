package dataplane

// Overhead is how much longer a tunnel makes its packets, in octets: the outer IP header, UDP where there is one,
// GRE and its key, and at most so much what protects it.
func Overhead(t Tunnel) int {
	n := 20 + 4 + t.Wrap
	if !t.Local.Unmap().Is4() {
		n += 20
	}
	if t.Key.Set {
		n += 4
	}
	if t.Encapsulation == GREUDP {
		n += 8
	}
	return n
}
