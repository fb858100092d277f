//go:build !amd64 && !arm64

package sys

// nativeArch 0: no filter has been tried here.
const nativeArch = 0

var (
	foreign    program
	deniedHere []uint32
)
