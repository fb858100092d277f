package bfd

import (
	"testing"
)

// The table of RFC 5880 section 6.2 in full: what each state does on each thing that can happen.
func TestTransitions(t *testing.T) {
	const stay = State(9)
	for _, tt := range []struct {
		clause string
		in     State
		want   [7]State // by input: heard admin-down, down, init, up; expired, disabled, stopped
	}{
		{"6.8.6: AdminDown discards what it hears", AdminDown, [7]State{stay, stay, stay, stay, stay, stay, stay}},
		{"6.2: Down", Down, [7]State{stay, Init, Up, stay, stay, AdminDown, stay}},
		{"6.2: Init", Init, [7]State{Down, stay, Up, Up, Down, AdminDown, Down}},
		{"6.2: Up", Up, [7]State{Down, Down, stay, stay, Down, AdminDown, Down}},
	} {
		for on, want := range tt.want {
			m, ok := moves[moment{tt.in, input(on)}]
			if got := m.to; ok != (want != stay) || ok && got != want {
				t.Errorf("%s: %s: got %v (%v), want %v", tt.clause, input(on), got, ok, want)
			}
		}
	}
}

func TestDiagnosticsOfTransitions(t *testing.T) {
	for _, tt := range []struct {
		clause string
		at     moment
		want   Diagnostic
	}{
		{"6.8.4: Control Detection Time Expired", moment{Up, expired}, DetectionExpired},
		{"6.8.6: Neighbor signaled session down", moment{Up, heardDown}, NeighborDown},
		{"6.8.6: the same for AdminDown", moment{Up, heardAdminDown}, NeighborDown},
		{"6.8.16: Administratively Down", moment{Up, disabled}, Disabled},
		{"6.8.17: Path Down", moment{Up, stopped}, PathDown},
		{"4.1: none once it is up", moment{Init, heardUp}, NoDiagnostic},
	} {
		if got := moves[tt.at].diag; got != tt.want {
			t.Errorf("%s: got %v", tt.clause, got)
		}
	}
}
