// Package ike is the Internet Key Exchange, version 2 (RFC 7296), as dynamic multipoint VPNs need it: NHRP asks for a
// peer by its underlay address ([protect.Ensure]), and hears of a handle that protected GRE may leave through
// ([protect.Up]). No peer is configured in advance; what is configured is how peers prove who they are.
//
//	module.go        events in
//	config.go        profiles
//	want.go          peers that others asked for, and attempts at them
//	peer.go          a router that proved itself: its handle, its IKE SAs, what it is sent with
//	sa.go            one IKE SA: its phases, timers, end
//	exchange.go      requests and responses: windows, resending, protection, fragments (RFC 7296 section 2, RFC 7383)
//	initial.go       IKE_SA_INIT and IKE_INTERMEDIATE (RFC 7296 section 1.2, RFC 9242, RFC 9370)
//	authenticate.go  IKE_AUTH (RFC 7296 section 2.15, RFC 7427, RFC 8784)
//	child.go         ESP SAs: selectors.go narrows them; unmade.go those that the data plane refuses
//	rekey.go         CREATE_CHILD_SA, and collisions (RFC 7296 sections 1.3, 2.8, 2.25); followup.go IKE_FOLLOWUP_KE (RFC 9370)
//	inform.go        INFORMATIONAL, liveness, peers that forgot us; mobike.go addresses that change (RFC 4555)
//	nat.go           NAT detection, port 4500, keepalives (RFC 7296 section 2.23)
//	mtu.go           what fits on the way (RFC 8899)
//	limit.go         cookies and other bounds of what strangers can cause; refused.go whom we turned away
//	number.go        SPIs and handles
//	show.go          show and why; remedy.go advice; keylog.go keys for laboratories
//
// Packages below: wire is the codec, suite the cryptography, auth identities and their proofs.
//
// All SAs with a peer have one handle, which stays while keys change. A child's outbound keys are handed to the data
// plane once and never again, because sequence numbers, and so nonces, would begin anew.
//
// Left out: IKEv1 (RFC 9395 made it historic), EAP, configuration payloads, IKE over TCP, puzzles, session resumption,
// the window above 1, and additional key exchanges of children.
package ike
