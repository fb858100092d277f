package wire_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// The captures of strongSwan, and beside some the keys as Wireshark reads them.
const captures = "../../../../test/peers/captures"

const (
	linkEthernet = 1
	linkRawIP    = 101
	protocolUDP  = 17
)

// message is an IKE message of a capture, with the number of its frame.
type message struct {
	frame  int
	octets []byte
}

// readPcap returns the IKE messages of a capture of Ethernet frames.
func readPcap(t testing.TB, path string) (messages []message) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 0xa1b2c3d4 || binary.LittleEndian.Uint32(b[20:]) != linkEthernet {
		t.Fatalf("%s is not a little-endian capture of Ethernet frames", path)
	}
	b = b[24:]
	for frame := 1; len(b) >= 16; frame++ {
		size := binary.LittleEndian.Uint32(b[8:])
		if m := ikeOf(b[16 : 16+size]); m != nil {
			messages = append(messages, message{frame, m})
		}
		b = b[16+size:]
	}
	return messages
}

// ikeOf unwraps a frame of IPv4 and UDP; it is nil for anything but IKE.
func ikeOf(frame []byte) []byte {
	ip := frame[14:]
	if binary.BigEndian.Uint16(frame[12:]) != 0x0800 || ip[9] != protocolUDP {
		return nil
	}
	udp := ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])]
	switch binary.BigEndian.Uint16(udp[2:]) {
	case 500:
		return udp[8:]
	case 4500:
		if marked, found := bytes.CutPrefix(udp[8:], []byte{0, 0, 0, 0}); found { // RFC 3948 section 2.2
			return marked
		}
	}
	return nil
}

// keys are the AES-GCM keys and salts of both directions of the IKE SAs of a capture, by the SPIs of the header.
type keys map[string][2][]byte

// readKeys reads Wireshark's table of IKEv2 keys.
func readKeys(t testing.TB, path string) keys {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := keys{}
	for row := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(row), ",")
		all[string(unhex(t, f[0]+f[1]))] = [2][]byte{unhex(t, f[2]), unhex(t, f[3])}
	}
	return all
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gcm returns the cipher of one direction and the salt of its nonces, RFC 5282.
func gcm(t testing.TB, key []byte) (cipher.AEAD, []byte) {
	t.Helper()
	block, err := aes.NewCipher(key[:len(key)-4])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead, key[len(key)-4:]
}

// open decrypts a message that ends in SK and returns what was inside; ok is false without a key for it.
func (k keys) open(t testing.TB, m []byte, sealed *wire.Encrypted) (inner []byte, ok bool) {
	t.Helper()
	pair, ok := k[string(m[:16])]
	if !ok {
		return nil, false
	}
	key := pair[1]
	if wire.Flags(m[19])&wire.Initiator != 0 {
		key = pair[0]
	}
	aead, salt := gcm(t, key)
	plain, err := aead.Open(nil, append(bytes.Clone(salt), sealed.Body[:8]...), sealed.Body[8:], m[:sealed.Offset])
	if err != nil {
		t.Fatal("the key does not open the message: ", err)
	}
	return plain[:len(plain)-1-int(plain[len(plain)-1])], true
}

// seen is a message of a capture and what the codec made of it; payloads are those inside SK where there are keys.
type seen struct {
	message
	header   wire.Header
	payloads wire.Payloads
	inner    []byte           // the octets of the payloads
	first    wire.PayloadType // of them
	opened   bool
}

// readIKEv2 parses every IKE message of a capture.
func readIKEv2(t testing.TB, name string) (all []seen) {
	t.Helper()
	k := keys{}
	if table := filepath.Join(captures, name+".keys", "ikev2_decryption_table"); exists(table) {
		k = readKeys(t, table)
	}
	for _, m := range readPcap(t, filepath.Join(captures, name+".pcap")) {
		h, err := wire.ParseHeader(m.octets)
		if err != nil {
			t.Fatalf("%s, frame %d: %v", name, m.frame, err)
		}
		s := seen{message: m, header: h, first: h.Next, inner: m.octets[wire.HeaderLen:]}
		s.payloads = mustParse(t, s.first, s.inner)
		if sealed := wire.Get[*wire.Encrypted](s.payloads); sealed != nil {
			if inner, ok := k.open(t, m.octets, sealed); ok {
				s.inner, s.first, s.opened = inner, sealed.Inner, true
				if s.payloads, err = wire.ParseInner(s.first, inner); err != nil {
					t.Fatalf("%s, frame %d: inside SK: %v", name, m.frame, err)
				}
			}
		}
		all = append(all, s)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// What strongSwan sends reads well, inside the encrypted payloads too, and is written again octet by octet.
func TestCapturedMessages(t *testing.T) {
	for _, c := range []struct {
		name             string
		messages, opened int
	}{{"frr-phase3-ikev2", 12, 6}, {"host-peers", 14, 0}} {
		t.Run(c.name, func(t *testing.T) {
			all, opened := readIKEv2(t, c.name), 0
			for _, s := range all {
				if s.opened {
					opened++
				}
				if got := s.header.Append(nil); !bytes.Equal(got, s.octets[:wire.HeaderLen]) {
					t.Errorf("frame %d: header\n got % x\nwant % x", s.frame, got, s.octets[:wire.HeaderLen])
				}
				if got := wire.AppendPayloads(nil, s.payloads); !bytes.Equal(got, s.inner) || s.payloads.First() != s.first {
					t.Errorf("frame %d: %s\n got % x\nwant % x", s.frame, s.payloads, got, s.inner)
				}
			}
			if len(all) != c.messages || opened != c.opened {
				t.Errorf("%d messages, of which %d opened", len(all), opened)
			}
		})
	}
}

// The first messages of the capture, in the words that `monitor` shows.
func TestCapturedTraces(t *testing.T) {
	all := readIKEv2(t, "frr-phase3-ikev2")
	for i, want := range map[int]string{
		0: "IKE_SA_INIT request 0 from initiator, SPIs dd5e428d305cb229_0000000000000000" +
			" SA(1 IKE encr:aes-gcm-256 prf:sha256 ke:p256; 2 IKE encr:aes-cbc-256 integ:sha256-128 prf:sha256 ke:modp2048)" +
			" KE(ke:p256, 64 octets) Nonce(32 octets) N(NAT_DETECTION_SOURCE_IP, 20 octets)" +
			" N(NAT_DETECTION_DESTINATION_IP, 20 octets) N(IKEV2_FRAGMENTATION_SUPPORTED)" +
			" N(SIGNATURE_HASH_ALGORITHMS, 8 octets) N(REDIRECT_SUPPORTED)",
		6: "IKE_AUTH response 1 from responder, SPIs dd5e428d305cb229_266bf3ba44bfa59e" +
			" IDr(10.0.0.2) AUTH(method 2, 32 octets) N(USE_TRANSPORT_MODE) SA(1 ESP 0xc34a9ad7 encr:aes-gcm-256 esn:no)" +
			" TSi(10.0.11.2 protocol 47) TSr(10.0.0.2 protocol 47) N(MOBIKE_SUPPORTED) N(ADDITIONAL_IP4_ADDRESS, 4 octets)",
	} {
		got := all[i].header.String() + " " + all[i].payloads.String()
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A real message of IKEv1 is refused by its header, before a payload is looked at.
func TestCapturedIKEv1(t *testing.T) {
	messages := readPcap(t, filepath.Join(captures, "frr-phase3-ikev1.pcap"))
	for _, m := range messages {
		var old *wire.OldVersionError
		if _, err := wire.ParseHeader(m.octets); !errors.As(err, &old) || old.Major != 1 {
			t.Errorf("frame %d: %v", m.frame, err)
		}
	}
	if len(messages) < 10 {
		t.Errorf("only %d messages", len(messages))
	}
}
