package ike

import "strings"

// remedies say what to do about what went wrong, by a part of its words.
var remedies = []struct{ part, remedy string }{
	{"no answer to IKE_SA_INIT", "is the peer up, and do firewalls on the way let UDP 500 and 4500 pass both ways? `spokeway doctor` looks at this host's"},
	{"no answer to IKE_AUTH", "UDP 4500, or fragments of UDP, may be stopped on the way: let UDP 4500 pass, and keep fragmentation on in the profile"},
	{"no answer to IKE_INTERMEDIATE", "large IKE messages may be lost on the way: keep fragmentation on in the profile, or leave mlkem768 out of ike"},
	{"pre-shared keys differ", "compare psk or psk-file of both ends"},
	{"no pre-shared key for", "add a psk for this peer to the profile, or correct its identity"},
	{"AUTHENTICATION_FAILED", "the peer's log says why: a pre-shared key that differs, or an identity or certificate it does not accept"},
	{"no proposal", "compare ike and esp of both profiles: they have no suite in common"},
	{"NO_PROPOSAL_CHOSEN", "compare ike and esp of both profiles: they have no suite in common"},
	{"expired", "renew the certificate, and see that the clocks are right"},
	{"not yet valid", "see that the clocks of both ends are right"},
	{"revoked", "the certificate was revoked: give the peer another"},
	{"none of the peers", "add its identity to peers of the profile, if it may come in"},
	{"unknown authority", "add the authority that issued the peer's certificate to ca of the profile"},
	{"key exchange", "give both profiles a key exchange in common"},
	{"narrows the traffic", "the peer's policy must be GRE (protocol 47) between the two hosts"},
}

// remedy is what to do about a reason, "" when nothing is known.
func remedy(reason string) string {
	for _, r := range remedies {
		if strings.Contains(reason, r.part) {
			return r.remedy
		}
	}
	return ""
}
