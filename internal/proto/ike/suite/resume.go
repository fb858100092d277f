package suite

// Sent is how many messages an AEAD has sealed: the IV that it used last.
func (c *Cipher) Sent() uint64 {
	if a, ok := c.body.(*aeadBody); ok {
		return a.sent
	}
	return 0
}

// Resume goes on after sent messages, for a cipher that is made anew from keys that have sealed so many: an IV must never
// come twice.
func (c *Cipher) Resume(sent uint64) {
	if a, ok := c.body.(*aeadBody); ok {
		a.sent = max(a.sent, sent) // never back
	}
}
