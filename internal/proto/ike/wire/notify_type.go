package wire

import "strconv"

// NotifyType is the kind of a notify, RFC 7296 section 3.10.1.
type NotifyType uint16

// firstStatus is the first kind that is not an error.
const firstStatus NotifyType = 16384

// Error kinds of RFC 7296 section 3.10.1, of RFC 4555 (40, 41), 5026 (42), 6407 and its kin (45), 7296's updates
// (46), 9370 (47) and 9611 (48).
const (
	UnsupportedCriticalPayload NotifyType = 1
	InvalidIKESPI              NotifyType = 4
	InvalidMajorVersion        NotifyType = 5
	InvalidSyntax              NotifyType = 7
	InvalidMessageID           NotifyType = 9
	InvalidSPI                 NotifyType = 11
	NoProposalChosen           NotifyType = 14
	InvalidKEPayload           NotifyType = 17
	AuthenticationFailed       NotifyType = 24
	SinglePairRequired         NotifyType = 34
	NoAdditionalSAs            NotifyType = 35
	InternalAddressFailure     NotifyType = 36
	FailedCPRequired           NotifyType = 37
	TSUnacceptable             NotifyType = 38
	InvalidSelectors           NotifyType = 39
	UnacceptableAddresses      NotifyType = 40
	UnexpectedNATDetected      NotifyType = 41
	UseAssignedHoA             NotifyType = 42
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44
	InvalidGroupID             NotifyType = 45
	AuthorizationFailed        NotifyType = 46
	StateNotFound              NotifyType = 47
	TSMaxQueue                 NotifyType = 48
)

// Status kinds of RFC 7296 section 3.10.1 (to 16395), of RFC 4555 (to 16402), 4478, 4739, 5685 (16406 to 16408), 5723, 6023
// (16418), 7383 (16430), 7427 (16431), 8784 (16435 to 16437), 9242 (16438), 9370 (16441), 9347 (16442), 9593, 9611, 9867
// and of those between.
const (
	InitialContact                  NotifyType = 16384
	SetWindowSize                   NotifyType = 16385
	AdditionalTSPossible            NotifyType = 16386
	IPCompSupported                 NotifyType = 16387
	NATDetectionSourceIP            NotifyType = 16388
	NATDetectionDestinationIP       NotifyType = 16389
	Cookie                          NotifyType = 16390
	UseTransportMode                NotifyType = 16391
	HTTPCertLookupSupported         NotifyType = 16392
	RekeySA                         NotifyType = 16393
	ESPTFCPaddingNotSupported       NotifyType = 16394
	NonFirstFragmentsAlso           NotifyType = 16395
	MOBIKESupported                 NotifyType = 16396
	AdditionalIP4Address            NotifyType = 16397
	AdditionalIP6Address            NotifyType = 16398
	NoAdditionalAddresses           NotifyType = 16399
	UpdateSAAddresses               NotifyType = 16400
	Cookie2                         NotifyType = 16401
	NoNATsAllowed                   NotifyType = 16402
	AuthLifetime                    NotifyType = 16403
	MultipleAuthSupported           NotifyType = 16404
	AnotherAuthFollows              NotifyType = 16405
	RedirectSupported               NotifyType = 16406
	Redirect                        NotifyType = 16407
	RedirectedFrom                  NotifyType = 16408
	TicketLTOpaque                  NotifyType = 16409
	TicketRequest                   NotifyType = 16410
	TicketAck                       NotifyType = 16411
	TicketNack                      NotifyType = 16412
	TicketOpaque                    NotifyType = 16413
	LinkID                          NotifyType = 16414
	UseWESPMode                     NotifyType = 16415
	ROHCSupported                   NotifyType = 16416
	EAPOnlyAuthentication           NotifyType = 16417
	ChildlessIKEv2Supported         NotifyType = 16418
	QuickCrashDetection             NotifyType = 16419
	IKEv2MessageIDSyncSupported     NotifyType = 16420
	IPsecReplayCounterSyncSupported NotifyType = 16421
	IKEv2MessageIDSync              NotifyType = 16422
	IPsecReplayCounterSync          NotifyType = 16423
	SecurePasswordMethods           NotifyType = 16424
	PSKPersist                      NotifyType = 16425
	PSKConfirm                      NotifyType = 16426
	ERXSupported                    NotifyType = 16427
	IFOMCapability                  NotifyType = 16428
	SenderRequestID                 NotifyType = 16429
	FragmentationSupported          NotifyType = 16430
	SignatureHashAlgorithms         NotifyType = 16431
	CloneIKESASupported             NotifyType = 16432
	CloneIKESA                      NotifyType = 16433
	Puzzle                          NotifyType = 16434
	UsePPK                          NotifyType = 16435
	PPKIdentity                     NotifyType = 16436
	NoPPKAuth                       NotifyType = 16437
	IntermediateExchangeSupported   NotifyType = 16438
	IP4Allowed                      NotifyType = 16439
	IP6Allowed                      NotifyType = 16440
	AdditionalKeyExchange           NotifyType = 16441
	UseAGGFRAG                      NotifyType = 16442
	SupportedAuthMethods            NotifyType = 16443
	SAResourceInfo                  NotifyType = 16444
	UsePPKInt                       NotifyType = 16445
	PPKIdentityKey                  NotifyType = 16446
	FullTranscriptAuth              NotifyType = 16447
)

// notifyKinds has for each kind the RFC's name and what it means, in words for people.
var notifyKinds = map[NotifyType]struct{ name, words string }{
	UnsupportedCriticalPayload:      {"UNSUPPORTED_CRITICAL_PAYLOAD", "a payload it calls critical is not understood"},
	InvalidIKESPI:                   {"INVALID_IKE_SPI", "the IKE SA is not known there"},
	InvalidMajorVersion:             {"INVALID_MAJOR_VERSION", "the version of IKE is not spoken there"},
	InvalidSyntax:                   {"INVALID_SYNTAX", "the message was malformed or out of range"},
	InvalidMessageID:                {"INVALID_MESSAGE_ID", "a message id was out of the window"},
	InvalidSPI:                      {"INVALID_SPI", "an ESP or AH packet came for an SA that is not known there"},
	NoProposalChosen:                {"NO_PROPOSAL_CHOSEN", "no proposal was acceptable"},
	InvalidKEPayload:                {"INVALID_KE_PAYLOAD", "another key exchange method is wanted"},
	AuthenticationFailed:            {"AUTHENTICATION_FAILED", "authentication failed"},
	SinglePairRequired:              {"SINGLE_PAIR_REQUIRED", "only one pair of addresses per SA is accepted"},
	NoAdditionalSAs:                 {"NO_ADDITIONAL_SAS", "no more SAs are accepted"},
	InternalAddressFailure:          {"INTERNAL_ADDRESS_FAILURE", "no internal address could be given"},
	FailedCPRequired:                {"FAILED_CP_REQUIRED", "a configuration request is required"},
	TSUnacceptable:                  {"TS_UNACCEPTABLE", "no traffic selector was acceptable"},
	InvalidSelectors:                {"INVALID_SELECTORS", "a packet did not match the selectors of its SA"},
	UnacceptableAddresses:           {"UNACCEPTABLE_ADDRESSES", "the new addresses are not accepted"},
	UnexpectedNATDetected:           {"UNEXPECTED_NAT_DETECTED", "there is a NAT where none may be"},
	UseAssignedHoA:                  {"USE_ASSIGNED_HoA", "another home address is assigned"},
	TemporaryFailure:                {"TEMPORARY_FAILURE", "it cannot be done now, for the SA is being rekeyed or deleted"},
	ChildSANotFound:                 {"CHILD_SA_NOT_FOUND", "the child SA is not known there"},
	InvalidGroupID:                  {"INVALID_GROUP_ID", "the group is not known there"},
	AuthorizationFailed:             {"AUTHORIZATION_FAILED", "authenticated, but not authorized"},
	StateNotFound:                   {"STATE_NOT_FOUND", "the exchange to follow up is not known there"},
	TSMaxQueue:                      {"TS_MAX_QUEUE", "no more SAs are accepted for these selectors"},
	InitialContact:                  {"INITIAL_CONTACT", "this is the only IKE SA between the two identities"},
	SetWindowSize:                   {"SET_WINDOW_SIZE", "the window of requests is larger"},
	AdditionalTSPossible:            {"ADDITIONAL_TS_POSSIBLE", "the selectors were narrowed and others would be acceptable"},
	IPCompSupported:                 {"IPCOMP_SUPPORTED", "IPComp is supported"},
	NATDetectionSourceIP:            {"NAT_DETECTION_SOURCE_IP", "hash of the source address"},
	NATDetectionDestinationIP:       {"NAT_DETECTION_DESTINATION_IP", "hash of the destination address"},
	Cookie:                          {"COOKIE", "a cookie is wanted"},
	UseTransportMode:                {"USE_TRANSPORT_MODE", "transport mode"},
	HTTPCertLookupSupported:         {"HTTP_CERT_LOOKUP_SUPPORTED", "certificates by URL are supported"},
	RekeySA:                         {"REKEY_SA", "the SA to rekey"},
	ESPTFCPaddingNotSupported:       {"ESP_TFC_PADDING_NOT_SUPPORTED", "padding against traffic analysis is not supported"},
	NonFirstFragmentsAlso:           {"NON_FIRST_FRAGMENTS_ALSO", "all fragments go through one SA"},
	MOBIKESupported:                 {"MOBIKE_SUPPORTED", "MOBIKE is supported"},
	AdditionalIP4Address:            {"ADDITIONAL_IP4_ADDRESS", "a further IPv4 address"},
	AdditionalIP6Address:            {"ADDITIONAL_IP6_ADDRESS", "a further IPv6 address"},
	NoAdditionalAddresses:           {"NO_ADDITIONAL_ADDRESSES", "no further addresses"},
	UpdateSAAddresses:               {"UPDATE_SA_ADDRESSES", "the addresses of the SAs change"},
	Cookie2:                         {"COOKIE2", "a test that the way back works"},
	NoNATsAllowed:                   {"NO_NATS_ALLOWED", "no NAT may be on the way"},
	AuthLifetime:                    {"AUTH_LIFETIME", "the time until a new authentication"},
	MultipleAuthSupported:           {"MULTIPLE_AUTH_SUPPORTED", "several authentications are supported"},
	AnotherAuthFollows:              {"ANOTHER_AUTH_FOLLOWS", "another authentication follows"},
	RedirectSupported:               {"REDIRECT_SUPPORTED", "redirection is supported"},
	Redirect:                        {"REDIRECT", "another gateway is to be used"},
	RedirectedFrom:                  {"REDIRECTED_FROM", "the gateway that redirected here"},
	TicketLTOpaque:                  {"TICKET_LT_OPAQUE", "a ticket and its lifetime"},
	TicketRequest:                   {"TICKET_REQUEST", "a ticket is asked for"},
	TicketAck:                       {"TICKET_ACK", "a ticket will come"},
	TicketNack:                      {"TICKET_NACK", "no ticket will come"},
	TicketOpaque:                    {"TICKET_OPAQUE", "a ticket"},
	LinkID:                          {"LINK_ID", "the id of a link"},
	UseWESPMode:                     {"USE_WESP_MODE", "wrapped ESP"},
	ROHCSupported:                   {"ROHC_SUPPORTED", "header compression is supported"},
	EAPOnlyAuthentication:           {"EAP_ONLY_AUTHENTICATION", "EAP alone is enough"},
	ChildlessIKEv2Supported:         {"CHILDLESS_IKEV2_SUPPORTED", "an IKE SA without child SA is supported"},
	QuickCrashDetection:             {"QUICK_CRASH_DETECTION", "a token to prove a crash"},
	IKEv2MessageIDSyncSupported:     {"IKEV2_MESSAGE_ID_SYNC_SUPPORTED", "message ids can be synchronized"},
	IPsecReplayCounterSyncSupported: {"IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED", "replay counters can be synchronized"},
	IKEv2MessageIDSync:              {"IKEV2_MESSAGE_ID_SYNC", "message ids to go on with"},
	IPsecReplayCounterSync:          {"IPSEC_REPLAY_COUNTER_SYNC", "replay counters to go on with"},
	SecurePasswordMethods:           {"SECURE_PASSWORD_METHODS", "password methods that are supported"},
	PSKPersist:                      {"PSK_PERSIST", "a key to keep"},
	PSKConfirm:                      {"PSK_CONFIRM", "the key is kept"},
	ERXSupported:                    {"ERX_SUPPORTED", "EAP re-authentication is supported"},
	IFOMCapability:                  {"IFOM_CAPABILITY", "flows can move between interfaces"},
	SenderRequestID:                 {"SENDER_REQUEST_ID", "ids of senders are asked for"},
	FragmentationSupported:          {"IKEV2_FRAGMENTATION_SUPPORTED", "fragmentation of IKE is supported"},
	SignatureHashAlgorithms:         {"SIGNATURE_HASH_ALGORITHMS", "hash algorithms for signatures"},
	CloneIKESASupported:             {"CLONE_IKE_SA_SUPPORTED", "an IKE SA can be cloned"},
	CloneIKESA:                      {"CLONE_IKE_SA", "the IKE SA is to be cloned"},
	Puzzle:                          {"PUZZLE", "a puzzle is to be solved"},
	UsePPK:                          {"USE_PPK", "a post-quantum preshared key is supported"},
	PPKIdentity:                     {"PPK_IDENTITY", "which post-quantum preshared key is used"},
	NoPPKAuth:                       {"NO_PPK_AUTH", "an authentication without the post-quantum preshared key"},
	IntermediateExchangeSupported:   {"INTERMEDIATE_EXCHANGE_SUPPORTED", "intermediate exchanges are supported"},
	IP4Allowed:                      {"IP4_ALLOWED", "IPv4 is allowed"},
	IP6Allowed:                      {"IP6_ALLOWED", "IPv6 is allowed"},
	AdditionalKeyExchange:           {"ADDITIONAL_KEY_EXCHANGE", "a further key exchange follows"},
	UseAGGFRAG:                      {"USE_AGGFRAG", "packets are aggregated and fragmented"},
	SupportedAuthMethods:            {"SUPPORTED_AUTH_METHODS", "authentication methods that are supported"},
	SAResourceInfo:                  {"SA_RESOURCE_INFO", "the resource that the SA is for"},
	UsePPKInt:                       {"USE_PPK_INT", "a post-quantum preshared key is supported before authentication"},
	PPKIdentityKey:                  {"PPK_IDENTITY_KEY", "a post-quantum preshared key that the sender has"},
	FullTranscriptAuth:              {"IKE_SA_INIT_FULL_TRANSCRIPT_AUTH", "the authentication covers both messages of IKE_SA_INIT"},
}

// IsError reports whether the kind is an error, known or not: RFC 7296 section 3.10.1.
func (t NotifyType) IsError() bool { return t < firstStatus }

// String is the RFC's name of the kind.
func (t NotifyType) String() string {
	if k, known := notifyKinds[t]; known {
		return k.name
	}
	if t.IsError() {
		return "error " + strconv.Itoa(int(t))
	}
	return "status " + strconv.Itoa(int(t))
}

// Words says for people what a peer that sent the kind means.
func (t NotifyType) Words() string {
	if k, known := notifyKinds[t]; known {
		return k.words
	}
	if t.IsError() {
		return "refused for a reason unknown here (" + t.String() + ")"
	}
	return t.String()
}
