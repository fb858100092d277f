// Package wire is the codec of IKEv2 messages.
package wire
