package ike

import (
	"strings"
	"testing"
)

// The words are those that packages auth, suite and wire, and this one, say.
func TestReasonsHaveAClassAndARemedy(t *testing.T) {
	const of = "authentication failed: certificate of CN=spoke2: "
	tests := []struct{ reason, class, remedy string }{
		{"no answer to IKE_SA_INIT", noAnswer, "UDP 500 and 4500"},
		{"no answer to IKE_AUTH", noAnswer, "fragments"},
		{"the peer did not go on with IKE_AUTH", noAnswer, "on the way back"},
		{"authentication failed: the pre-shared keys differ", authentication, "compare psk"},
		{"authentication failed: profile corp has no pre-shared key for spoke2.example", authentication, "add a psk"},
		{"the peer does not accept our proof as spoke2.example (AUTHENTICATION_FAILED): compare", authentication, "of the peer says why"},
		{of + "expired on 2026-01-01 00:00 UTC, 3 days ago", certificate, "renew"},
		{of + "not valid before 2027-01-01 00:00 UTC, which is 40 days ahead; the clock here says", certificate, "clocks of both ends"},
		{of + "revoked on 2026-01-01 00:00 UTC by its issuer (key compromise)", certificate, "give the peer another"},
		{of + "the revocation list of its issuer CN=ca expired on 2026-01-01, and the policy is strict", certificate, "crl of the profile"},
		{of + "spoke2.example is not in it: it is for spoke3.example", certificate, "must be in its certificate"},
		{of + "issued by CN=other, from which no path leads to an authority of ours; add that", certificate, "to ca of the profile"},
		{of + "key usage is neither digitalSignature nor nonRepudiation", certificate, "spokeway check"},
		{"its identity x is none of the peers of profile corp", policy, "peers of the profile"},
		{"the peer refuses: no proposal was acceptable", noProposal, "suite in common"},
		{"profile corp: no proposal chosen", noProposal, "suite in common"},
		{"cleared by the operator", given, ""},
		{"an internal error", otherwise, ""},
	}
	for _, tt := range tests {
		class, remedy := diagnose(tt.reason)
		if class != tt.class || !strings.Contains(remedy, tt.remedy) || (remedy == "") != (tt.remedy == "") {
			t.Errorf("%s: class %q, remedy %q; want %q and %q", tt.reason, class, remedy, tt.class, tt.remedy)
		}
	}
}
