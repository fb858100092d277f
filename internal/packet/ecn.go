package packet

// Codepoints of the ECN field, RFC 3168 section 5.
const (
	NotECT = 0
	ECT1   = 1
	ECT0   = 2
	CE     = 3

	ecnMask = 3
)

// OuterClass is the traffic class of the outer header: the inner's DSCP (RFC 2983 uniform model) and ECN field
// (RFC 6040 section 4.1, normal mode).
func OuterClass(inner uint8) uint8 { return inner }

const drop = 0xff

// decapsulated is figure 4 of RFC 6040, by inner and outer ECN field.
var decapsulated = [4][4]uint8{
	NotECT: {NotECT: NotECT, ECT1: NotECT, ECT0: NotECT, CE: drop},
	ECT1:   {NotECT: ECT1, ECT1: ECT1, ECT0: ECT1, CE: CE},
	ECT0:   {NotECT: ECT0, ECT1: ECT1, ECT0: ECT0, CE: CE},
	CE:     {NotECT: CE, ECT1: CE, ECT0: CE, CE: CE},
}

// InnerClass is the traffic class a packet leaves a tunnel with, RFC 6040 section 4.2; false when it is to be dropped.
// The DSCP stays the inner's.
func InnerClass(inner, outer uint8) (uint8, bool) {
	ecn := decapsulated[inner&ecnMask][outer&ecnMask]
	return inner&^ecnMask | ecn&ecnMask, ecn != drop
}
