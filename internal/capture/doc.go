// Package capture writes packets as pcapng (draft-ietf-opsawg-pcapng), for whoever looks at them with Wireshark or tcpdump.
//
//	pcapng.go  the blocks: section header, interface description, enhanced packet
//	queue.go   from the data plane, which never waits, to a writer, who may
//	read.go    the same blocks back, for a program that prints or counts them
//
// Every packet is a bare IP packet (link type RAW), its time has nanoseconds, and it says its direction. Left out: all
// other blocks, and files that others have written.
package capture
