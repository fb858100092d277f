package bfd

// State of a session, RFC 5880 section 4.1.
type State uint8

const (
	AdminDown State = iota
	Down
	Init
	Up
)

func (s State) String() string {
	return [...]string{"admin-down", "down", "init", "up"}[s&3]
}

// Diagnostic is the reason of the last change of a session's state, RFC 5880 section 4.1.
type Diagnostic uint8

const (
	NoDiagnostic Diagnostic = iota
	DetectionExpired
	EchoFailed
	NeighborDown
	ForwardingReset
	PathDown
	ConcatenatedDown
	Disabled
	ReverseConcatenatedDown
)

func (d Diagnostic) String() string {
	words := [...]string{
		"none", "control detection time expired", "echo function failed", "neighbor signaled session down",
		"forwarding plane reset", "path down", "concatenated path down", "administratively down", "reverse concatenated path down",
	}
	if int(d) < len(words) {
		return words[d]
	}
	return "reserved"
}

// input is what can move a session. The first four are the states that a peer may say it is in.
type input uint8

const (
	heardAdminDown = input(AdminDown)
	heardDown      = input(Down)
	heardInit      = input(Init)
	heardUp        = input(Up)
	expired        = input(4) // nothing was heard for the detection time
	disabled       = input(5)
	stopped        = input(6) // our forwarding ends
)

func (i input) String() string {
	return [...]string{"hears admin-down", "hears down", "hears init", "hears up", "detection time expires", "is disabled", "is stopped"}[i]
}

type moment struct {
	in State
	on input
}

// keep leaves the reason of the change before.
const keep = Diagnostic(255)

type move struct {
	to   State
	diag Diagnostic
}

// moves are the transitions. What is not listed changes nothing.
var moves = map[moment]move{
	// RFC 5880 section 6.8.6, in the order of its text.
	{Init, heardAdminDown}: {Down, NeighborDown},
	{Up, heardAdminDown}:   {Down, NeighborDown},
	{Down, heardDown}:      {Init, keep},
	{Down, heardInit}:      {Up, NoDiagnostic},
	{Init, heardInit}:      {Up, NoDiagnostic},
	{Init, heardUp}:        {Up, NoDiagnostic},
	{Up, heardDown}:        {Down, NeighborDown},

	// Section 6.8.4.
	{Init, expired}: {Down, DetectionExpired},
	{Up, expired}:   {Down, DetectionExpired},

	// Section 6.8.16.
	{Down, disabled}: {AdminDown, Disabled},
	{Init, disabled}: {AdminDown, Disabled},
	{Up, disabled}:   {AdminDown, Disabled},

	// Section 6.8.17: the path is known to have failed by other means.
	{Init, stopped}: {Down, PathDown},
	{Up, stopped}:   {Down, PathDown},
}
