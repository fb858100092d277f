package ike

import "strings"

// Names of counters that others read.
const (
	CountEstablished = "established"
	CountFailure     = "handshake failed: " // and the class of the reason
)

// Classes of reasons for which no SA comes to be: few enough to be labels of a metric.
const (
	noAnswer       = "no answer"
	authentication = "authentication"
	certificate    = "certificate"
	noProposal     = "no proposal"
	policy         = "policy"
	given          = "given up"
	otherwise      = "other"
)

// causes say what kind of thing went wrong, by a part of its words, and what to do about it. The first that fits counts.
var causes = []struct{ part, class, remedy string }{
	{"no answer to IKE_SA_INIT", noAnswer, "is the peer up, and do firewalls on the way let UDP 500 and 4500 pass both ways? `spokeway doctor` looks at this host's"},
	{"no answer to IKE_AUTH", noAnswer, "UDP 4500, or fragments of UDP, may be stopped on the way: let UDP 4500 pass, and keep fragmentation on in the profile"},
	{"no answer to IKE_INTERMEDIATE", noAnswer, "large IKE messages may be lost on the way: keep fragmentation on in the profile, or leave mlkem768 out of ike"},
	{"did not go on with", noAnswer, "what we answer may be lost on the way back: let UDP 500 and 4500 pass both ways; `spokeway why` on the peer"},
	{"no answer", noAnswer, "`spokeway why` on the peer, and firewalls on the way"},
	{"pre-shared keys differ", authentication, "compare psk or psk-file of both ends"},
	{"no pre-shared key for", authentication, "add a psk for this peer to the profile, or correct its identity"},
	{"AUTHENTICATION_FAILED", authentication, "`spokeway show ike` or the log of the peer says why: a pre-shared key that differs, or an identity or certificate it does not accept"},
	{"revocation list", certificate, "give crl of the profile a current list of that authority, and see that the clocks are right"},
	{"expired", certificate, "renew the certificate, and see that the clocks are right"},
	{"not valid before", certificate, "see that the clocks of both ends are right"},
	{"revoked", certificate, "the certificate was revoked: give the peer another"},
	{"no path leads to an authority", certificate, "add the authority that issued the peer's certificate to ca of the profile"},
	{"is not in it: it is for", certificate, "the peer's identity must be in its certificate: correct identity there, or issue a certificate that names it"},
	{"certificate", certificate, "compare certificate, key and ca of both profiles: `spokeway check` on each end"},
	{"NO_PROPOSAL_CHOSEN", noProposal, "compare ike and esp of both profiles: they have no suite in common"},
	{"no proposal", noProposal, "compare ike and esp of both profiles: they have no suite in common"},
	{"key exchange", noProposal, "give both profiles a key exchange in common"},
	{"none of the peers", policy, "add its identity to peers of the profile, if it may come in"},
	{"narrows the traffic", policy, "the peer's policy must be GRE (protocol 47) between the two hosts"},
	{"authentication failed", authentication, "compare the keys, identities and certificates of both profiles"},
	{"cleared by the operator", given, ""},
	{"not needed any more", given, ""},
	{"this router stops", given, ""},
	{"the profile was changed", given, ""},
}

// Remedy is what to do about a reason for which there is no SA, "" when nothing is known.
func Remedy(reason string) string {
	_, remedy := diagnose(reason)
	return remedy
}

// diagnose is the class of a reason, and what to do about it.
func diagnose(reason string) (class, remedy string) {
	for _, c := range causes {
		if strings.Contains(reason, c.part) {
			return c.class, c.remedy
		}
	}
	return otherwise, ""
}

// countFailure counts an attempt to make an SA, of ours or of a peer, that came to nothing.
func (m *Module) countFailure(reason string) {
	class, _ := diagnose(reason)
	m.count(CountFailure + class)
}
